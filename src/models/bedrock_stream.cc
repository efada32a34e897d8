#include "models/bedrock_stream.h"

#include <fmt/format.h>

#include <set>

#include "base/bytes.h"
#include "base/raw_json.h"
#include "models/bedrock_request.h"
#include "models/json_text.h"
#include "models/limits.h"
#include "models/streamed_call.h"

namespace perdure::models {
namespace {

Finish finish_of(std::string_view reason, bool has_calls) {
  if (reason == "max_tokens" || reason == "model_context_window_exceeded") return Finish::kLength;
  if (reason == "guardrail_intervened" || reason == "content_filtered")
    return Finish::kContentFilter;
  return has_calls ? Finish::kToolCalls : Finish::kStop;
}

std::string reasoning_block(const std::string& text, const std::string& signature,
                            const std::string& redacted) {
  ObjectText content;
  if (!redacted.empty()) {
    content.add("redactedContent", to_base64(redacted));
  } else {
    ObjectText reasoning;
    reasoning.add("text", text);
    if (!signature.empty()) reasoning.add("signature", signature);
    content.add_raw("reasoningText", reasoning.text());
  }
  return ObjectText().add_raw("reasoningContent", content.text()).text();
}

}  // namespace

BedrockStream::BedrockStream(FailureMapper failures, std::string model)
    : failures_(std::move(failures)),
      // Measured by others for GPT in streams; all else reports the input beside the cache only.
      counts_cache_twice_(BedrockModel::from_id(model).family == BedrockModel::Family::kOpenAi) {
  output_.model = std::move(model);
}

void BedrockStream::on_head(const http::Headers& headers, ModelSink& sink) {
  auto id = headers.get("x-amzn-requestid");
  if (!id || id->empty() || !is_valid_utf8(*id)) return;
  output_.response_id = *id;
  sink.on_response_id(output_.response_id);
}

std::expected<Progress, ModelFailure> BedrockStream::on_event(std::string_view event,
                                                              std::string_view data,
                                                              ModelSink& sink) {
  if (event.starts_with(kExceptionEvent))
    return std::unexpected(
        with_usage(failures_.from_exception(event.substr(kExceptionEvent.size()), data)));
  auto parsed = parse_json(data);
  if (!parsed || !parsed->is_object())
    return std::unexpected(with_usage(failures_.broken("an event that is not a JSON object")));
  const json::object& object = parsed->get_object();
  Step step;
  if (event == "contentBlockStart") {
    step = on_start(object);
  } else if (event == "contentBlockDelta") {
    step = on_delta(object, sink);
  } else if (event == "contentBlockStop") {
    if (auto block = block_of(object); block)
      (*block)->stopped = true;
    else
      step = std::unexpected(std::move(block).error());
  } else if (event == "messageStop") {
    stop_reason_ = get_string(object, "stopReason");
    if (stop_reason_.empty())
      step = std::unexpected(failures_.broken("the end of an answer without a reason"));
  } else if (event == "metadata") {
    on_metadata(object);
  } else if (event == "message" && !get_string(object, "message").empty()) {
    step = std::unexpected(failures_.from_error(*parsed));
  } else if (event == "message") {
    step = std::unexpected(failures_.broken("an answer that is not an event stream"));
  }
  if (!step) return std::unexpected(with_usage(std::move(step).error()));
  return metadata_seen_ && !stop_reason_.empty() ? Progress::kComplete : Progress::kMore;
}

BedrockStream::Step BedrockStream::on_start(const json::object& event) {
  TRY(block, block_of(event));
  const json::object& start = get_object(event, "start");
  if (find(start, "image"))
    return std::unexpected(failures_.broken("an image, for which an answer has no place here"));
  if (find(start, "toolResult")) {
    block->type = BlockType::kServerTool;
    return {};
  }
  const json::value* use = find(start, "toolUse");
  if (!use || !use->is_object()) return {};
  const json::object& tool_use = use->get_object();
  if (get_string(tool_use, "type") == "server_tool_use") {
    block->type = BlockType::kServerTool;
    return {};
  }
  TRY_VOID(become(*block, BlockType::kCall, OutputType::kFunctionCall));
  OutputItem& call = output_.items[block->item];
  call.call_id = get_string(tool_use, "toolUseId");
  call.name = get_string(tool_use, "name");
  if (call.name.empty()) return std::unexpected(failures_.broken("a tool call without a name"));
  return {};
}

BedrockStream::Step BedrockStream::on_delta(const json::object& event, ModelSink& sink) {
  TRY(block, block_of(event));
  if (block->type == BlockType::kServerTool) return {};
  const json::object& delta = get_object(event, "delta");
  if (find(delta, "text")) return on_text(*block, get_string(delta, "text"), sink);
  if (find(delta, "reasoningContent"))
    return on_reasoning(*block, get_object(delta, "reasoningContent"));
  if (find(delta, "toolUse")) return on_input(*block, get_object(delta, "toolUse"));
  if (find(delta, "image"))
    return std::unexpected(failures_.broken("an image, for which an answer has no place here"));
  return {};  // citations, which an item has no place for, and what is not known yet
}

BedrockStream::Step BedrockStream::on_text(Block& block, std::string_view text, ModelSink& sink) {
  if (text.empty()) return {};
  // A block beside a message goes on with it: cited text comes as many blocks.
  bool joins = block.type == BlockType::kOpen && !output_.items.empty() &&
               output_.items.back().type == OutputType::kMessage;
  if (joins) {
    block.type = BlockType::kText;
    block.item = output_.items.size() - 1;
  } else {
    TRY_VOID(become(block, BlockType::kText, OutputType::kMessage));
  }
  if (!message_started_) {
    message_started_ = true;
    streamed_ = block.item;
    sink.on_message_started(streamed_);
  }
  output_.items[block.item].text += text;
  if (block.item == streamed_) sink.on_text(text);
  return {};
}

BedrockStream::Step BedrockStream::on_reasoning(Block& block, const json::object& reasoning) {
  TRY_VOID(become(block, BlockType::kReasoning, OutputType::kReasoning));
  output_.items[block.item].text += get_string(reasoning, "text");
  block.signature += get_string(reasoning, "signature");
  if (std::string_view sealed = get_string(reasoning, "redactedContent"); !sealed.empty()) {
    auto bytes = from_base64(sealed);
    if (!bytes) return std::unexpected(failures_.broken("redacted reasoning that is not base64"));
    block.redacted += *bytes;
  }
  return {};
}

BedrockStream::Step BedrockStream::on_input(Block& block, const json::object& tool_use) {
  if (block.type != BlockType::kCall)
    return std::unexpected(failures_.broken("the arguments of a tool call that has not begun"));
  const json::value* input = find(tool_use, "input");
  if (!input) return {};
  OutputItem& call = output_.items[block.item];
  if (input->is_string())
    call.arguments += as_view(input->get_string());
  else if (input->is_object() && call.arguments.empty())
    call.arguments = perdure::serialize(*input);
  return {};
}

/// `inputTokens` is what was neither read from nor written to a cache; TokenUsage counts all.
void BedrockStream::on_metadata(const json::object& event) {
  metadata_seen_ = true;
  const json::object& trace = get_object(event, "trace");
  if (auto model = get_string(get_object(trace, "promptRouter"), "invokedModelId"); !model.empty())
    output_.model = model;
  const json::value* value = find(event, "usage");
  if (!value || !value->is_object()) return;
  const json::object& usage = value->get_object();
  output_.usage_known = true;
  TokenUsage& counted = output_.usage;
  counted.cached_tokens = told_tokens(get_int(usage, "cacheReadInputTokens"));
  counted.cache_write_tokens = told_tokens(get_int(usage, "cacheWriteInputTokens"));
  counted.output_tokens = told_tokens(get_int(usage, "outputTokens"));
  counted.input_tokens = told_tokens(get_int(usage, "inputTokens"));
  std::int64_t cache = counted.cached_tokens + counted.cache_write_tokens;
  if (!counts_cache_twice_ || counted.input_tokens < cache) counted.input_tokens += cache;
}

std::expected<BedrockStream::Block*, ModelFailure> BedrockStream::block_of(
    const json::object& event) {
  std::int64_t index = get_int(event, "contentBlockIndex", -1);
  if (index < 0) return std::unexpected(failures_.broken("a content block without a number"));
  if (!blocks_.contains(index) && blocks_.size() == kMaxOutputItems)
    return std::unexpected(
        failures_.broken(fmt::format("more than {} content blocks", kMaxOutputItems)));
  Block& block = blocks_[index];
  if (block.stopped)
    return std::unexpected(failures_.broken("more of a content block that had ended"));
  return &block;
}

BedrockStream::Step BedrockStream::become(Block& block, BlockType type, OutputType item) {
  if (block.type == type) return {};
  if (block.type != BlockType::kOpen)
    return std::unexpected(failures_.broken("a content block of two types"));
  block.type = type;
  block.item = output_.items.size();
  output_.items.emplace_back().type = item;
  return {};
}

std::expected<ModelOutput, ModelFailure> BedrockStream::finish(ModelSink&) {
  if (stop_reason_.empty()) return std::unexpected(with_usage(failures_.cut_off()));
  if (stop_reason_ == "malformed_model_output" || stop_reason_ == "malformed_tool_use")
    return std::unexpected(with_usage(
        failures_.broken(fmt::format("an answer that it calls malformed ({})", stop_reason_))));
  if (stop_reason_ == "model_context_window_exceeded" && output_.items.empty())
    return std::unexpected(with_usage(failures_.from_exception(
        "ValidationException", R"({"message":"the model's context window is full"})")));
  if (auto step = complete_items(); !step) return std::unexpected(with_usage(step.error()));
  return std::move(output_);
}

BedrockStream::Step BedrockStream::complete_items() {
  bool has_calls = false;
  std::set<std::string, std::less<>> ids;
  for (auto& [index, block] : blocks_) {
    if (block.type == BlockType::kReasoning) {
      OutputItem& item = output_.items[block.item];
      item.raw = reasoning_block(item.text, block.signature, block.redacted);
      item.raw_provider = kBedrockConverse;
    } else if (block.type == BlockType::kCall) {
      OutputItem& call = output_.items[block.item];
      has_calls = true;
      if (call.arguments.empty()) call.arguments = "{}";
      if (call.call_id.empty() || !ids.insert(call.call_id).second)
        return std::unexpected(failures_.broken("a tool call without an id of its own"));
    }
  }
  output_.finish = finish_of(stop_reason_, has_calls);
  return {};
}

ModelFailure BedrockStream::with_usage(ModelFailure failure) const {
  failure.usage = output_.usage;
  failure.usage_known = output_.usage_known;
  return failure;
}

}  // namespace perdure::models
