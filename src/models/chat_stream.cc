#include "models/chat_stream.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "models/chat_request.h"
#include "models/limits.h"

namespace perdure::models {
namespace {

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// Puts U+FFFD for escaped halves of surrogate pairs, which servers send that cut text by UTF-16.
std::string without_lone_surrogates(std::string_view text) {
  std::string out;
  auto escape_at = [&](std::size_t at) -> unsigned {
    if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return 0;
    if (!std::all_of(text.begin() + at + 2, text.begin() + at + 6, is_hex)) return 0;
    return static_cast<unsigned>(std::stoul(std::string(text.substr(at + 2, 4)), nullptr, 16));
  };
  auto is_high = [](unsigned unit) { return unit >= 0xD800 && unit < 0xDC00; };
  auto is_low = [](unsigned unit) { return unit >= 0xDC00 && unit < 0xE000; };
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = text[at] == '\\' ? 2 : 1;
    unsigned unit = escape_at(at);
    if (is_high(unit) && is_low(escape_at(at + 6))) {
      length = 12;
    } else if (is_high(unit) || is_low(unit)) {
      out += "\\ufffd";
      at += 6;
      continue;
    }
    out += text.substr(at, length);
    at += length;
  }
  return out;
}

/// A chunk's JSON. Characters may be cut at its ends: the bytes are put together again afterwards.
std::optional<json::value> parse_chunk(std::string_view data) {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  options.allow_invalid_utf8 = true;
  boost::system::error_code ec;
  json::value value = json::parse({data.data(), data.size()}, ec, {}, options);
  if (ec && data.find("\\u") != std::string_view::npos) {
    std::string repaired = without_lone_surrogates(data);
    ec.clear();
    value = json::parse(repaired, ec, {}, options);
  }
  if (ec) return std::nullopt;
  return value;
}

/// Valid UTF-8 for text that came in one piece.
std::string whole_text(std::string_view text) {
  Utf8Stream utf8;
  std::string out = utf8.push(text);
  return out + utf8.finish();
}

Finish finish_of(std::string_view reason, bool has_calls) {
  if (reason == "length") return Finish::kLength;
  if (reason == "content_filter") return Finish::kContentFilter;
  return has_calls ? Finish::kToolCalls : Finish::kStop;
}

/// Letters and digits from the end of a response id: makes call ids differ between responses.
std::string id_tail(std::string_view response_id) {
  std::string tail;
  for (auto c = response_id.rbegin(); c != response_id.rend() && tail.size() < 16; ++c)
    if ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'))
      tail.insert(tail.begin(), *c);
  return tail;
}

}  // namespace

std::expected<Progress, ModelFailure> ChatStream::on_event(std::string_view event,
                                                           std::string_view data, ModelSink& sink) {
  if (data.empty()) return Progress::kMore;
  if (data == "[DONE]") {
    done_ = true;
    return Progress::kComplete;
  }
  auto parsed = parse_chunk(data);
  if (!parsed || !parsed->is_object())
    return std::unexpected(with_usage(failures_.broken("an event that is not a JSON object")));
  const json::object& chunk = parsed->get_object();
  const json::value* error = find(chunk, "error");
  bool is_error =
      event == "error" || get_string(chunk, "object") == "error" || (error && !error->is_null());
  if (is_error) return std::unexpected(with_usage(failures_.from_error(*parsed)));
  if (auto step = on_chunk(chunk, sink); !step)
    return std::unexpected(with_usage(std::move(step).error()));
  return Progress::kMore;
}

ChatStream::Step ChatStream::on_chunk(const json::object& chunk, ModelSink& sink) {
  if (output_.response_id.empty()) {
    output_.response_id = whole_text(get_string(chunk, "id"));
    if (!output_.response_id.empty()) sink.on_response_id(output_.response_id);
  }
  if (std::string_view model = get_string(chunk, "model"); !model.empty())
    output_.model = whole_text(model);
  on_usage(get_object(chunk, "usage"));
  for (const json::value& value : get_array(chunk, "choices")) {
    if (!value.is_object()) continue;
    const json::object& choice = value.get_object();
    if (get_int(choice, "index") != 0) continue;
    // "message" instead of "delta": the server answered whole although a stream was asked for.
    bool whole = find(choice, "delta") == nullptr;
    TRY_VOID(on_delta(get_object(choice, whole ? "message" : "delta"), sink));
    if (std::string_view reason = get_string(choice, "finish_reason"); !reason.empty())
      finish_reason_ = reason;
  }
  if (finish_reason_ == "error")
    return std::unexpected(failures_.broken("the finish reason \"error\""));
  return {};
}

ChatStream::Step ChatStream::on_delta(const json::object& delta, ModelSink& sink) {
  // vLLM and DeepSeek say reasoning_content; newer vLLM and Ollama say reasoning, some say both.
  std::string_view reasoning = get_string(delta, "reasoning_content");
  if (reasoning.empty()) reasoning = get_string(delta, "reasoning");
  if (!reasoning.empty()) TRY_VOID(on_reasoning(reasoning));
  if (auto text = get_string(delta, "content"); !text.empty()) TRY_VOID(on_text(text, false, sink));
  for (const json::value& part : get_array(delta, "content"))
    if (part.is_object()) TRY_VOID(on_part(part.get_object(), sink));
  if (auto text = get_string(delta, "refusal"); !text.empty()) TRY_VOID(on_text(text, true, sink));
  std::size_t position = 0;
  for (const json::value& piece : get_array(delta, "tool_calls"))
    if (piece.is_object()) TRY_VOID(on_tool_call(piece.get_object(), position++));
  return {};
}

/// Mistral sends a list: {type: "text", text} and {type: "thinking", thinking: [{type: "text",
/// text}]}.
ChatStream::Step ChatStream::on_part(const json::object& part, ModelSink& sink) {
  for (const json::value& thought : get_array(part, "thinking"))
    if (thought.is_object()) TRY_VOID(on_reasoning(get_string(thought.get_object(), "text")));
  if (auto text = get_string(part, "text"); !text.empty()) TRY_VOID(on_text(text, false, sink));
  return {};
}

ChatStream::Step ChatStream::on_reasoning(std::string_view text) {
  if (!reasoning_) {
    TRY(place, new_item(OutputType::kReasoning));
    reasoning_ = place;
    output_.items[place].raw_provider = kOpenAiChat;
  }
  output_.items[*reasoning_].text += reasoning_utf8_.push(text);
  return {};
}

ChatStream::Step ChatStream::on_text(std::string_view text, bool refusal, ModelSink& sink) {
  if (!message_) {
    TRY(place, new_item(OutputType::kMessage));
    message_ = place;
    sink.on_message_started(place);
  }
  OutputItem& message = output_.items[*message_];
  message.refusal |= refusal;
  std::string whole = message_utf8_.push(text);
  if (whole.empty()) return {};
  message.text += whole;
  sink.on_text(whole);
  return {};
}

ChatStream::Step ChatStream::on_tool_call(const json::object& piece, std::size_t position) {
  TRY(call, call_of(piece, position));
  const json::object& function = get_object(piece, "function");
  if (call->name.empty()) call->name = get_string(function, "name");
  const json::value* arguments = find(function, "arguments");
  if (!arguments) return {};
  if (arguments->is_string())
    call->arguments += as_view(arguments->get_string());
  else if (arguments->is_object())
    call->arguments = perdure::serialize(*arguments);
  return {};
}

/// The call that this piece belongs to. A new one begins with a new index; where a server numbers
/// all its calls alike or not at all, with another id; without ids, with another name.
std::expected<OutputItem*, ModelFailure> ChatStream::call_of(const json::object& piece,
                                                             std::size_t position) {
  const json::value* given = find(piece, "index");
  bool numbered = given && given->is_int64();
  std::string_view id = get_string(piece, "id");
  std::string_view name = get_string(get_object(piece, "function"), "name");

  auto same = calls_.end();
  if (numbered) {
    // The latest of its number: a number may have been used twice.
    auto found = std::find_if(calls_.rbegin(), calls_.rend(),
                              [&](const Call& c) { return c.index == given->get_int64(); });
    if (found != calls_.rend()) same = std::prev(found.base());
  } else if (!calls_.empty() && position == 0) {
    same = std::prev(calls_.end());
  }
  if (same != calls_.end()) {
    OutputItem& item = output_.items[same->item];
    bool other_id = !id.empty() && !item.call_id.empty() && id != item.call_id && !name.empty();
    bool next_unnumbered = !numbered && id.empty() && !name.empty() && !item.name.empty();
    if (!other_id && !next_unnumbered) {
      if (item.call_id.empty()) item.call_id = id;
      return &item;
    }
  }
  TRY(place, new_item(OutputType::kFunctionCall));
  calls_.push_back({numbered ? given->get_int64() : -1, place});
  output_.items[place].call_id = id;
  return &output_.items[place];
}

std::expected<std::size_t, ModelFailure> ChatStream::new_item(OutputType type) {
  if (output_.items.size() == kMaxOutputItems)
    return std::unexpected(
        failures_.broken(fmt::format("more than {} items in one answer", kMaxOutputItems)));
  output_.items.emplace_back().type = type;
  return output_.items.size() - 1;
}

void ChatStream::on_usage(const json::object& usage) {
  if (usage.empty()) return;
  // Servers that report continuously send totals so far: the latest stands.
  output_.usage_known = true;
  output_.usage.input_tokens = told_tokens(get_int(usage, "prompt_tokens"));
  output_.usage.output_tokens = told_tokens(get_int(usage, "completion_tokens"));
  const json::object& input = get_object(usage, "prompt_tokens_details");
  output_.usage.cached_tokens =
      told_tokens(get_int(input, "cached_tokens", get_int(usage, "prompt_cache_hit_tokens")));
  output_.usage.cache_write_tokens = told_tokens(get_int(input, "cache_write_tokens"));
  output_.usage.reasoning_tokens =
      told_tokens(get_int(get_object(usage, "completion_tokens_details"), "reasoning_tokens"));
}

std::expected<ModelOutput, ModelFailure> ChatStream::finish(ModelSink& sink) {
  // A server that closes after its finish reason, without "[DONE]", has said everything.
  if (!done_ && finish_reason_.empty()) return std::unexpected(with_usage(failures_.cut_off()));
  if (message_) {
    if (std::string rest = message_utf8_.finish(); !rest.empty()) {
      output_.items[*message_].text += rest;
      sink.on_text(rest);
    }
  }
  if (reasoning_) output_.items[*reasoning_].text += reasoning_utf8_.finish();
  if (auto step = complete_calls(); !step) return std::unexpected(with_usage(step.error()));
  output_.finish = finish_of(finish_reason_, !calls_.empty());
  return std::move(output_);
}

ChatStream::Step ChatStream::complete_calls() {
  std::set<std::string, std::less<>> ids;
  for (std::size_t n = 0; n < calls_.size(); ++n) {
    OutputItem& call = output_.items[calls_[n].item];
    if (call.name.empty()) return std::unexpected(failures_.broken("a tool call without a name"));
    if (!is_valid_utf8(call.call_id + call.name) || !is_valid_utf8(call.arguments))
      return std::unexpected(failures_.broken("a tool call that is not valid UTF-8"));
    if (call.arguments.empty()) call.arguments = "{}";
    std::string made = fmt::format("call_{}_{}", n, id_tail(output_.response_id));
    // A made id could meet a given one only if the server copies our scheme; then it gets longer.
    while (call.call_id.empty() || !ids.insert(call.call_id).second) {
      call.call_id = made;
      made += "x";
    }
  }
  return {};
}

ModelFailure ChatStream::with_usage(ModelFailure failure) const {
  failure.usage = output_.usage;
  failure.usage_known = output_.usage_known;
  return failure;
}

}  // namespace perdure::models
