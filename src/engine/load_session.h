// A session as the store has it: its row, and its state folded from the newest snapshot on.
//
// A snapshot is a cache: one that cannot be read (another format, damage) costs a longer fold and
// nothing else. A log that cannot be folded gives a session that says it has failed and why; it can
// be read that far and deleted, and nothing is ever written over what was not understood.
#pragma once

#include "engine/session_state.h"

namespace perdure::engine {

struct StoredSession {
  journal::SessionRow row;
  SessionState state;
  bool readable = true;  ///< false: the log is not, and `state` is a failed session's
};

/// The state after entry `at`, by default the newest. Errors are the store's.
async::Task<Result<StoredSession>> load_session(journal::JournalStore* journal, SessionKey key,
                                                std::uint64_t at = ~0ULL);

}  // namespace perdure::engine
