#include "outside.h"

#include <algorithm>

namespace perdure::simulation {
namespace {

std::vector<std::string> user_texts(const models::ModelRequest& request) {
  std::vector<std::string> texts;
  for (const models::ContextItem& item : request.context)
    if (const auto* user = std::get_if<models::UserMessage>(&item))
      texts.push_back(user->parts.front().text);
  return texts;
}

models::OutputItem call_of(std::string call_id, std::string name) {
  models::OutputItem item;
  item.type = models::OutputType::kFunctionCall;
  item.call_id = std::move(call_id);
  item.name = std::move(name);
  item.arguments = "{}";
  return item;
}

}  // namespace

async::Task<std::expected<models::ModelOutput, models::ModelFailure>> Model::generate(
    models::ModelRequest request, models::ModelSink* sink, async::CancelToken cancel) {
  if (dead_) co_return std::unexpected(models::ModelFailure{.message = "dead"});
  // A session has one history: what one call was told, every later one is told too, in that order.
  const int call = ++outside_.model_calls;
  const std::vector<std::string> texts = user_texts(request);
  std::vector<std::string>& heard = outside_.heard[request.cache_key];
  const auto [left, right] = std::ranges::mismatch(texts, heard);
  if (left != texts.end() && right != heard.end())
    outside_.trace.wrong("the model was told two histories of {}: '{}' and '{}'", request.cache_key,
                         *left, *right);
  if (texts.size() > heard.size()) heard = texts;
  outside_.trace.say("model call {} of {}: {} items", call, request.cache_key,
                     request.context.size());

  const std::int64_t takes = outside_.random.between(1, outside_.random.chance(10) ? 4000 : 300);
  const int way = static_cast<int>(outside_.random.between(1, 100));
  models::ModelOutput output;
  output.usage = {10, 0, 5, 0};
  output.usage_known = true;
  const std::string text = fmt::format("answer {}", call);
  if (way > 10) {
    sink->on_message_started(0);
    sink->on_text(text);
  }
  for (std::int64_t waited = 0; waited < takes && !cancel.cancelled() && !dead_; waited += 20)
    co_await async::sleep_for(20);
  if (cancel.cancelled() || dead_)
    co_return std::unexpected(models::ModelFailure{.code = "cancelled", .message = "cancelled"});
  if (way <= 10)
    co_return std::unexpected(
        models::ModelFailure{.code = "server_overloaded", .message = "Busy.", .retryable = true});
  models::OutputItem message;
  message.text = text;
  output.items.push_back(std::move(message));
  // Calls come to an end: the longer the turn, the fewer.
  const bool calls = way <= 60 && request.context.size() < 40;
  if (calls) {
    const int count = static_cast<int>(outside_.random.between(1, 3));
    for (int i = 0; i < count; ++i) {
      const std::int64_t which = outside_.random.between(1, 100);
      output.items.push_back(call_of(fmt::format("call_{}_{}", call, i), which <= 45   ? "opaque"
                                                                         : which <= 80 ? "keyed"
                                                                                       : "ask"));
    }
  }
  output.finish = calls ? models::Finish::kToolCalls : models::Finish::kStop;
  co_return output;
}

async::Task<tools::ToolResult> SlowTool::run(tools::ToolCall call, async::CancelToken cancel) {
  const std::int64_t takes = outside_.random.between(0, 200);
  for (std::int64_t waited = 0; waited < takes && !cancel.cancelled() && !dead_; waited += 20)
    co_await async::sleep_for(20);
  if (cancel.cancelled() || dead_) co_return tools::ToolResult{false, "cancelled"};
  const int runs = ++outside_.runs[call.idempotency_key];
  outside_.trace.say("{} runs for {}", name_, call.idempotency_key);
  if (class_ == tools::RepeatClass::kOpaque && runs > 1)
    outside_.trace.wrong("an opaque effect happened {} times: {}", runs, call.idempotency_key);
  co_await async::sleep_for(outside_.random.between(0, 50));
  co_return tools::ToolResult{true, "done"};
}

}  // namespace perdure::simulation
