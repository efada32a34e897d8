#include "engine/async_results.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/function_result.h"
#include "engine/limits.h"
#include "engine/time_reminder.h"

namespace perdure::engine {

models::FunctionOutput still_runs(std::string call_id) {
  return {
      std::move(call_id),
      "The function was started and runs in the background. Its result is not known yet; it "
      "will come later, as a message that names this call. Go on without it, or end your turn."};
}

bool has_room_for(const SessionState& state, const std::vector<FinishedItem>& answer,
                  const models::OutputItem& call) {
  std::size_t calls = state.outstanding.size() + 1, bytes = call.arguments.size();
  for (const AsyncCall& open : state.outstanding) bytes += open.call.arguments.size();
  for (const FinishedItem& finished : answer)
    if (finished.async) {
      calls += 1;
      bytes += finished.item.arguments.size();
    }
  return calls <= kMaxOutstandingCalls && bytes <= kMaxOutstandingBytes;
}

const AsyncCall* find_outstanding(const SessionState& state, std::string_view turn_id,
                                  std::string_view call_id) {
  auto found = std::ranges::find_if(state.outstanding, [&](const AsyncCall& open) {
    return open.call.call_id == call_id && state.turn_id_of(open.turn) == turn_id;
  });
  return found == state.outstanding.end() ? nullptr : &*found;
}

std::vector<models::ContentPart> parts_of(const AsyncResultBody& result) {
  std::vector<models::ContentPart> parts{fmt::format(
      "[The result of the call {} of {}, which ran in the background:]\n{}", result.call_id,
      result.name, text_of_result(result.success, result.output, result.error))};
  if (result.success)
    for (std::string& url : images_of_result(result.output))
      parts.push_back(models::ContentPart::image(std::move(url)));
  return parts;
}

Result<std::uint64_t> add_async_result(Batch& batch, AsyncResultBody result) {
  const bool begins = !batch.state().turn;
  if (begins) {
    TRY_VOID(batch.add(journal::kTurnCreated, TurnCreatedBody{batch.state().cache_ttl}));
    TRY_VOID(add_time_reminder(batch));
  }
  const TurnState& turn = *batch.state().turn;
  const bool before_first_call = turn.model_calls == 0 && !turn.model_call;
  result.turn = turn.seq;
  TRY(seq, batch.add(journal::kAsyncResult, result));
  if (!before_first_call) return seq;
  TRY_VOID(batch.add(journal::kAsyncResultPlaced,
                     AsyncResultPlacedBody{result.turn, seq, parts_of(result)}));
  if (begins) TRY_VOID(batch.add(journal::kTurnStarted, TurnStartedBody{result.turn}));
  return seq;
}

}  // namespace perdure::engine
