// Calls of async functions: the model goes on at once, and the result comes when it comes.
//
// The model is told right behind its call that the function runs (`still_runs`); that follows from
// the journaled answer and is no entry. The call stays in SessionState::outstanding, past the end
// of its turn and past a cancel, until the client sends its result, which is an input like a
// message: kAsyncResult takes it, kAsyncResultPlaced is where the model reads it, at the running
// turn's next model call or at the beginning of a turn of its own. Between the two it stands in
// SessionState::queued. Pure functions over a batch or a state.
#pragma once

#include <string_view>
#include <vector>

#include "engine/batch.h"
#include "models/item.h"

namespace perdure::engine {

/// What the model reads as the call's output.
models::FunctionOutput still_runs(std::string call_id);

/// Whether the session can wait for one more call beside those of the same answer.
bool has_room_for(const SessionState& state, const std::vector<FinishedItem>& answer,
                  const models::OutputItem& call);

/// nullptr where nobody waits for it.
const AsyncCall* find_outstanding(const SessionState& state, std::string_view turn_id,
                                  std::string_view call_id);

/// What the model reads when the result has come.
std::vector<models::ContentPart> parts_of(const AsyncResultBody& result);

/// Takes a result of an outstanding call: into the running turn where its next model call has not
/// started, else queued, else as a new turn. Gives the entry of the result.
Result<std::uint64_t> add_async_result(Batch& batch, AsyncResultBody result);

}  // namespace perdure::engine
