// What each model call of a turn was sent, and why: the context record.
//
// Recomputed from the log, not stored: what a call is sent is a pure function of the entries up to
// its `context_through` (context.h), so nothing is written for it and old sessions have records
// too. What does not follow from the log, the configured window that made a compaction due, is in
// that compaction's intent, and the range that it replaced in its result. Ranges name entries; no
// text is in a record. Tokens of parts are estimates; what the provider counted is told beside
// them. Reads the store, knows no actor; called on the loop.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/session_state.h"

namespace perdure::engine {

struct ContextRecordQuery {
  SessionKey key;
  std::string turn_id;
  Page page;  ///< `after` is the entry of a call
};

/// kNotFound for an unknown turn, kInvalidArgument, param "after", for a call that is not there.
Task<Result<Listed<CallContext>>> list_call_contexts(journal::JournalStore* journal,
                                                     ContextRecordQuery query);

}  // namespace perdure::engine
