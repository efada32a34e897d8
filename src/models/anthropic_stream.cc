#include "models/anthropic_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/raw_json.h"
#include "models/anthropic_request.h"
#include "models/json_text.h"
#include "models/limits.h"

namespace perdure::models {
namespace {

/// The number, where one is told: absent and null leave what was told before.
void read_count(const json::object& object, std::string_view key, std::int64_t& count) {
  const json::value* value = find(object, key);
  if (value && value->is_int64()) count = told_tokens(value->get_int64());
}

/// A member of a block as it was put together, JSON text; empty: as it began.
struct Member {
  std::string_view key;
  std::string value;
};

/// The block with what it became, its members in the order in which it began. One that did not
/// change is the bytes that came.
std::string put_together(std::string_view start, std::span<Member> members) {
  if (std::ranges::all_of(members, [](const Member& m) { return m.value.empty(); }))
    return std::string(start);
  ObjectText block;
  for_each_raw_member(start, [&](std::string_view key, std::string_view value) {
    auto known = std::ranges::find(members, key, &Member::key);
    bool replaced = known != members.end() && !known->value.empty();
    block.add_raw(key, replaced ? std::exchange(known->value, {}) : std::string(value));
  });
  for (const Member& member : members)
    if (!member.value.empty()) block.add_raw(member.key, member.value);
  return block.text();
}

std::string string_member(std::string_view raw, std::string_view key) {
  return decode_json_string(raw_member(raw, key).value_or(""));
}

bool is_null_or_empty_array(std::string_view raw) {
  return raw == "null" || !RawArrayReader(raw).next();
}

/// Whether the members that our items have are all that the block says.
bool is_plain(std::string_view start, std::span<const std::string_view> modelled) {
  RawObjectReader reader(start);
  while (auto member = reader.next()) {
    if (std::ranges::find(modelled, member->key) != modelled.end()) continue;
    if (member->key == "citations" && is_null_or_empty_array(member->value)) continue;
    if (member->key == "caller" && string_member(member->value, "type") == "direct") continue;
    return false;
  }
  return true;
}

}  // namespace

std::expected<Progress, ModelFailure> AnthropicStream::on_event(std::string_view event,
                                                                std::string_view data,
                                                                ModelSink& sink) {
  if (data.empty() || data == "[DONE]") return Progress::kMore;
  auto parsed = parse_json(data);
  if (!parsed || !parsed->is_object())
    return std::unexpected(with_usage(failures_.broken("an event that is not a JSON object")));
  const json::object& object = parsed->get_object();
  std::string_view type = get_string(object, "type", event);

  Step step;
  if (type == "message_start") {
    on_start(get_object(object, "message"), sink);
  } else if (type == "content_block_start") {
    step = on_block_start(get_int(object, "index"), raw_member(data, "content_block").value_or(""),
                          sink);
  } else if (type == "content_block_delta") {
    step = on_block_delta(data, object, sink);
  } else if (type == "content_block_stop") {
    step = on_block_end();
  } else if (type == "message_delta") {
    on_message_delta(object);
  } else if (type == "message_stop") {
    step = on_block_end();
    ended_ = true;
  } else if (type == "message") {
    step = on_whole(data, object, sink);
  } else if (const json::value* error = find(object, "error");
             type == "error" || (error && !error->is_null())) {
    return std::unexpected(with_usage(failures_.from_error(*parsed)));
  }
  if (!step) return std::unexpected(with_usage(std::move(step).error()));
  return ended_ ? Progress::kComplete : Progress::kMore;
}

void AnthropicStream::on_start(const json::object& message, ModelSink& sink) {
  on_usage(get_object(message, "usage"));
  output_.model = get_string(message, "model");
  if (!output_.response_id.empty()) return;
  output_.response_id = get_string(message, "id");
  if (!output_.response_id.empty()) sink.on_response_id(output_.response_id);
}

/// A server that does not stream sends the message as it would be at the end.
AnthropicStream::Step AnthropicStream::on_whole(std::string_view data, const json::object& message,
                                                ModelSink& sink) {
  on_start(message, sink);
  on_stop(message);
  RawArrayReader blocks(raw_member(data, "content").value_or("[]"));
  for (std::int64_t index = 0; auto raw = blocks.next(); ++index) {
    TRY_VOID(on_block_start(index, *raw, sink));
    TRY_VOID(on_block_end());
  }
  ended_ = true;
  return {};
}

AnthropicStream::Step AnthropicStream::on_block_start(std::int64_t index, std::string_view raw,
                                                      ModelSink& sink) {
  TRY_VOID(on_block_end());  // servers may leave out that the one before has ended
  // Its bytes go into the journal and into later requests.
  if (!check_strict_json(raw) || string_member(raw, "type").empty())
    return std::unexpected(failures_.broken("a content block that is not valid"));
  Block& block = block_.emplace();
  block.index = index;
  block.type = string_member(raw, "type");
  block.start = raw;
  block.signature = string_member(raw, "signature");
  if (block.type == "text")
    add_text(string_member(raw, "text"), sink);
  else
    block.text = string_member(raw, "thinking");
  return {};
}

AnthropicStream::Step AnthropicStream::on_block_delta(std::string_view data,
                                                      const json::object& event, ModelSink& sink) {
  if (!block_ || get_int(event, "index") != block_->index)
    return std::unexpected(failures_.broken("a piece of a content block that has not begun"));
  const json::object& delta = get_object(event, "delta");
  std::string_view type = get_string(delta, "type");
  if (type == "text_delta" && block_->type == "text") {
    add_text(get_string(delta, "text"), sink);
  } else if (type == "thinking_delta" && block_->type == "thinking") {
    block_->text += get_string(delta, "thinking");
  } else if (type == "signature_delta") {
    block_->signature = get_string(delta, "signature");
  } else if (type == "input_json_delta") {
    block_->input += get_string(delta, "partial_json");
  } else if (type == "citations_delta") {
    auto citation = raw_member(raw_member(data, "delta").value_or(""), "citation");
    if (!citation || !check_strict_json(*citation))
      return std::unexpected(failures_.broken("a citation that is not valid"));
    block_->citations.emplace_back(*citation);
  } else {
    block_->whole = false;
  }
  return {};
}

/// Takes the text of the open block, and shows it if it is of the first message.
void AnthropicStream::add_text(std::string_view text, ModelSink& sink) {
  if (text.empty()) return;
  if (!message_) {
    message_ = output_.items.size();
    streams_ = true;
    sink.on_message_started(*message_);
  }
  block_->text += text;
  if (streams_) sink.on_text(text);
}

AnthropicStream::Step AnthropicStream::on_block_end() {
  if (!block_) return {};
  Block block = *std::exchange(block_, std::nullopt);
  streams_ = false;
  if (block.type == "tool_use") return add_call(block);
  if (block.type != "text") return add_reasoning(block);
  if (block.text.empty()) return {};
  OutputItem item{.type = OutputType::kMessage, .text = block.text};
  static constexpr std::array kModelled = {std::string_view("type"), std::string_view("text")};
  if (block.whole && !(block.citations.empty() && is_plain(block.start, kModelled))) {
    std::string citations;
    for (const std::string& citation : block.citations)
      citations += (citations.empty() ? "[" : ",") + citation;
    if (!citations.empty()) citations += ']';
    std::array members = {Member{"text", json_quoted(block.text)}, Member{"citations", citations}};
    item.raw = put_together(block.start, members);
    item.raw_provider = kAnthropicMessages;
  }
  return add_item(std::move(item));
}

AnthropicStream::Step AnthropicStream::add_call(const Block& block) {
  OutputItem item{.type = OutputType::kFunctionCall};
  std::string sent_name = string_member(block.start, "name");
  item.call_id = string_member(block.start, "id");
  item.name = names_.original(sent_name);
  item.arguments =
      block.input.empty() ? raw_member(block.start, "input").value_or("{}") : block.input;
  if (sent_name.empty() || item.call_id.empty())
    return std::unexpected(failures_.broken("a tool call without a name or an id"));
  static constexpr std::array kModelled = {std::string_view("type"), std::string_view("id"),
                                           std::string_view("name"), std::string_view("input")};
  if (block.whole && !is_plain(block.start, kModelled) && check_strict_json(item.arguments)) {
    std::array members = {Member{"input", item.arguments}};
    item.raw = put_together(block.start, members);
    item.raw_provider = kAnthropicMessages;
  }
  has_calls_ = true;
  return add_item(std::move(item));
}

AnthropicStream::Step AnthropicStream::add_reasoning(const Block& block) {
  OutputItem item{.type = OutputType::kReasoning};
  bool is_thinking = block.type == "thinking";
  if (is_thinking) item.text = block.text;
  bool input_is_json = block.input.empty() || check_strict_json(block.input).has_value();
  if (block.whole && input_is_json && !(is_thinking && block.signature.empty())) {
    std::array members = {Member{"thinking", is_thinking ? json_quoted(block.text) : ""},
                          Member{"signature", is_thinking ? json_quoted(block.signature) : ""},
                          Member{"input", block.input}};
    item.raw = put_together(block.start, members);
    item.raw_provider = kAnthropicMessages;
  }
  if (item.text.empty() && item.raw.empty()) return {};
  return add_item(std::move(item));
}

AnthropicStream::Step AnthropicStream::add_item(OutputItem item) {
  if (output_.items.size() == kMaxOutputItems)
    return std::unexpected(
        failures_.broken(fmt::format("more than {} items in one answer", kMaxOutputItems)));
  output_.items.push_back(std::move(item));
  return {};
}

void AnthropicStream::on_message_delta(const json::object& event) {
  on_stop(get_object(event, "delta"));
  on_usage(get_object(event, "usage"));
}

void AnthropicStream::on_stop(const json::object& delta) {
  if (std::string_view reason = get_string(delta, "stop_reason"); !reason.empty())
    stop_reason_ = reason;
  if (std::string_view why = get_string(get_object(delta, "stop_details"), "explanation");
      !why.empty())
    refusal_ = why;
}

void AnthropicStream::on_usage(const json::object& usage) {
  if (usage.empty()) return;
  output_.usage_known = true;
  TokenUsage& told = output_.usage;
  read_count(usage, "input_tokens", plain_input_);
  read_count(usage, "cache_read_input_tokens", told.cached_tokens);
  read_count(usage, "cache_creation_input_tokens", told.cache_write_tokens);
  read_count(usage, "output_tokens", told.output_tokens);
  read_count(get_object(usage, "output_tokens_details"), "thinking_tokens", told.reasoning_tokens);
  told.input_tokens = plain_input_ + told.cached_tokens + told.cache_write_tokens;
}

std::expected<ModelOutput, ModelFailure> AnthropicStream::finish(ModelSink& sink) {
  // A server that closes after its reason to stop, without "message_stop", has said everything.
  if (!ended_ && stop_reason_.empty()) return std::unexpected(with_usage(failures_.cut_off()));
  if (auto step = on_block_end(); !step)
    return std::unexpected(with_usage(std::move(step).error()));
  if (stop_reason_ == "refusal")
    add_refusal(sink);
  else if (stop_reason_ == "max_tokens" || stop_reason_ == "model_context_window_exceeded" ||
           stop_reason_ == "pause_turn")
    output_.finish = Finish::kLength;
  else if (has_calls_)
    output_.finish = Finish::kToolCalls;
  return std::move(output_);
}

/// The text so far is the refusal, or what the API says about it. Calls of a refused answer must
/// not run.
void AnthropicStream::add_refusal(ModelSink& sink) {
  if (has_calls_) output_.finish = Finish::kContentFilter;
  bool said = false;
  for (OutputItem& item : output_.items)
    if (item.type == OutputType::kMessage) said = item.refusal = true;
  if (said) return;
  std::string text = refusal_.empty() ? "The model declined to answer." : refusal_;
  message_ = output_.items.size();
  sink.on_message_started(*message_);
  sink.on_text(text);
  output_.items.push_back({.type = OutputType::kMessage, .text = text, .refusal = true});
}

ModelFailure AnthropicStream::with_usage(ModelFailure failure) const {
  failure.usage = output_.usage;
  failure.usage_known = output_.usage_known;
  return failure;
}

}  // namespace perdure::models
