#include "engine/answer_format.h"

#include <fmt/format.h>

#include "base/json_schema.h"
#include "engine/limits.h"
#include "engine/routing.h"

namespace perdure::engine {

using models::OutputItem;
using models::OutputType;

std::optional<Rejection> check_answer(const AgentConfig& agent, const models::ModelOutput& output) {
  if (!agent.text_schema || output.finish == models::Finish::kLength ||
      output.finish == models::Finish::kContentFilter)
    return std::nullopt;
  Rejection rejection;
  std::vector<std::string> complaints;
  bool answered = false;
  for (const OutputItem& item : output.items) {
    if (item.type == OutputType::kFunctionCall || item.refusal) return std::nullopt;
    if (item.type != OutputType::kMessage) continue;
    if (std::exchange(answered, true)) rejection.text += '\n';
    rejection.text += item.text;
    // A client reads each of them as an answer.
    if (complaints.empty()) complaints = schema_complaints(*agent.text_schema, item.text, "answer");
  }
  if (!answered) complaints = {"there is no answer"};
  if (complaints.empty()) return std::nullopt;
  rejection.complaint = fmt::format("{}.", fmt::join(complaints, "; "));
  return rejection;
}

void reject(const TurnState& turn, Rejection rejection, ModelCallAbandonedBody& body) {
  body.begun = true;
  body.text = std::move(rejection.text);
  body.rejected = std::move(rejection.complaint);
  body.repair = turn.repairs < kMaxRepairs;
  body.error = {
      "server_error",
      fmt::format("The model's answer does not satisfy the schema of text.format{}: {}",
                  body.repair ? "" : ", and neither did the one before it", body.rejected)};
}

std::string repair_request(std::string_view complaint) {
  return fmt::format(
      "[Your answer was not accepted: it must be JSON that satisfies the schema that you were "
      "given. {} Give the whole answer again, as JSON that satisfies the schema, and nothing "
      "else.]",
      complaint);
}

void note_repair(SessionState& state, const ModelCallAbandonedBody& body) {
  TurnState& turn = *state.turn;
  turn.repairs += 1;
  turn.failed_attempts = 0;
  turn.retry_at = 0;
  turn.waits = 0;
  turn.tried.clear();
  turn.compaction = {};
  state.context_tokens = body.usage_known && body.usage.input_tokens > 0
                             ? body.usage.total()
                             : state.context_tokens + tokens_of_text(body.text.size());
  state.context_tokens += tokens_of_text(repair_request(body.rejected).size());
}

}  // namespace perdure::engine
