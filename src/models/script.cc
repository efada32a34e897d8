#include "models/script.h"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "base/json.h"
#include "base/raw_json.h"
#include "models/limits.h"

namespace perdure::models {
namespace {

std::unexpected<Error> wrong(std::string place, std::string_view expected) {
  std::string message = fmt::format("The script's '{}' must be {}.", place, expected);
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(place));
}

/// The members of one object of the script. `finish` reports a member that nobody asked for.
class Reader {
 public:
  Reader(const json::object& object, std::string place)
      : object_(object), place_(std::move(place)) {}

  Result<void> read(std::string_view key, std::string& out) {
    const json::value* value = take(key);
    if (!value) return {};
    if (!value->is_string()) return wrong(at(key), "a text");
    out = as_view(value->get_string());
    return {};
  }
  Result<void> read(std::string_view key, bool& out) {
    const json::value* value = take(key);
    if (!value) return {};
    if (!value->is_bool()) return wrong(at(key), "true or false");
    out = value->get_bool();
    return {};
  }
  Result<void> read(std::string_view key, std::int64_t& out) {
    const json::value* value = take(key);
    if (!value) return {};
    if (!value->is_int64() || value->get_int64() < 0)
      return wrong(at(key), "a whole number, 0 or more");
    out = value->get_int64();
    return {};
  }
  /// The member for reading by the caller; nullptr if absent.
  const json::value* take(std::string_view key) {
    known_.push_back(key);
    return find(object_, key);
  }
  std::string at(std::string_view key) const {
    return place_.empty() ? std::string(key) : fmt::format("{}.{}", place_, key);
  }
  Result<void> finish() const {
    for (const auto& member : object_) {
      std::string_view key(member.key().data(), member.key().size());
      if (std::ranges::find(known_, key) == known_.end())
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("The script has a member '{}' that means nothing.", at(key)),
                    at(key));
    }
    return {};
  }

 private:
  const json::object& object_;
  std::string place_;
  std::vector<std::string_view> known_;
};

Result<TokenUsage> read_usage(const json::value& value, std::string place) {
  if (!value.is_object()) return wrong(std::move(place), "an object, or null");
  Reader reader(value.get_object(), std::move(place));
  TokenUsage usage;
  TRY_VOID(reader.read("input_tokens", usage.input_tokens));
  TRY_VOID(reader.read("cached_tokens", usage.cached_tokens));
  TRY_VOID(reader.read("output_tokens", usage.output_tokens));
  TRY_VOID(reader.read("reasoning_tokens", usage.reasoning_tokens));
  TRY_VOID(reader.finish());
  return usage;
}

Result<ScriptFailure> read_failure(const json::value& value, std::string place) {
  if (!value.is_object()) return wrong(std::move(place), "an object");
  Reader reader(value.get_object(), std::move(place));
  ScriptFailure failure;
  TRY_VOID(reader.read("code", failure.code));
  TRY_VOID(reader.read("message", failure.message));
  TRY_VOID(reader.read("retryable", failure.retryable));
  TRY_VOID(reader.read("retry_after_ms", failure.retry_after_ms));
  TRY_VOID(reader.finish());
  if (failure.message.empty())
    failure.message = fmt::format("The script says that this call fails with {}.", failure.code);
  return failure;
}

Result<ScriptCall> read_call(const json::value& value, std::string place) {
  if (!value.is_object()) return wrong(std::move(place), "an object");
  Reader reader(value.get_object(), place);
  ScriptCall call;
  TRY_VOID(reader.read("name", call.name));
  TRY_VOID(reader.read("id", call.id));
  if (call.name.empty()) return wrong(reader.at("name"), "a text that is not empty");
  const json::value* arguments = reader.take("arguments");
  if (!arguments)
    call.arguments = "{}";
  else if (arguments->is_string())
    call.arguments = as_view(arguments->get_string());
  else if (arguments->is_object())
    call.arguments = perdure::serialize(*arguments);
  else
    return wrong(reader.at("arguments"), "an object, or a text that is taken as it is");
  TRY_VOID(reader.finish());
  return call;
}

Result<void> read_message(Reader& reader, ScriptStep& step) {
  std::string text;
  TRY_VOID(reader.read("text", text));
  const json::value* chunks = reader.take("chunks");
  if (!chunks) {
    step.chunks = split_words(text);
    return {};
  }
  if (!text.empty()) return wrong(reader.at("chunks"), "absent where 'text' is given");
  if (!chunks->is_array()) return wrong(reader.at("chunks"), "a list of texts");
  for (const json::value& chunk : chunks->get_array()) {
    if (!chunk.is_string() || chunk.get_string().empty())
      return wrong(reader.at("chunks"), "a list of texts that are not empty");
    step.chunks.emplace_back(as_view(chunk.get_string()));
  }
  return {};
}

Result<Finish> read_finish(std::string_view word, std::string place) {
  static constexpr std::array<std::pair<std::string_view, Finish>, 4> kWords = {{
      {"stop", Finish::kStop},
      {"tool_calls", Finish::kToolCalls},
      {"length", Finish::kLength},
      {"content_filter", Finish::kContentFilter},
  }};
  for (const auto& [name, finish] : kWords)
    if (name == word) return finish;
  return wrong(std::move(place), "stop, tool_calls, length or content_filter");
}

Result<ScriptStep> read_step(const json::value& value, std::string place) {
  if (!value.is_object()) return wrong(std::move(place), "an object");
  Reader reader(value.get_object(), std::move(place));
  ScriptStep step;
  TRY_VOID(reader.read("when", step.when));
  TRY_VOID(reader.read("times", step.times));
  TRY_VOID(reader.read("reasoning", step.reasoning));
  TRY_VOID(read_message(reader, step));
  TRY_VOID(reader.read("refusal", step.refusal));
  TRY_VOID(reader.read("delay_ms", step.delay_ms));
  TRY_VOID(reader.read("hang", step.hang));
  std::int64_t after_chunks = 0;
  TRY_VOID(reader.read("after_chunks", after_chunks));
  step.after_chunks = static_cast<std::size_t>(after_chunks);
  if (const json::value* calls = reader.take("tool_calls")) {
    if (!calls->is_array()) return wrong(reader.at("tool_calls"), "a list");
    for (std::size_t i = 0; i < calls->get_array().size(); ++i) {
      TRY(call,
          read_call(calls->get_array()[i], fmt::format("{}[{}]", reader.at("tool_calls"), i)));
      step.tool_calls.push_back(std::move(call));
    }
  }
  std::string finish = step.tool_calls.empty() ? "stop" : "tool_calls";
  TRY_VOID(reader.read("finish", finish));
  TRY(finish_value, read_finish(finish, reader.at("finish")));
  step.finish = finish_value;
  if (const json::value* usage = reader.take("usage")) {
    step.usage_unknown = usage->is_null();
    if (!step.usage_unknown) {
      TRY(read, read_usage(*usage, reader.at("usage")));
      step.usage = read;
    }
  }
  if (const json::value* failure = reader.take("fail")) {
    TRY(read, read_failure(*failure, reader.at("fail")));
    step.failure = std::move(read);
  }
  TRY_VOID(reader.finish());
  return step;
}

}  // namespace

Result<Script> parse_script(std::string_view text) {
  if (text.size() > kMaxScriptBytes)
    return fail(ErrorCode::kTooLarge,
                fmt::format("The script is larger than {} bytes.", kMaxScriptBytes));
  if (auto checked = check_strict_json(text); !checked)
    return fail(ErrorCode::kInvalidArgument,
                "The script is not valid JSON: " + checked.error().message, checked.error().param);
  TRY(document, parse_json(text));
  if (!document.is_object()) return wrong("script", "a JSON object");
  Reader reader(document.get_object(), "");
  Script script;
  TRY_VOID(reader.read("model", script.model));
  std::string scope = "session";
  TRY_VOID(reader.read("scope", scope));
  if (scope != "session" && scope != "process") return wrong("scope", "session or process");
  script.per_session = scope == "session";
  if (const json::value* steps = reader.take("steps")) {
    if (!steps->is_array()) return wrong("steps", "a list");
    for (std::size_t i = 0; i < steps->get_array().size(); ++i) {
      TRY(step, read_step(steps->get_array()[i], fmt::format("steps[{}]", i)));
      script.steps.push_back(std::move(step));
    }
  }
  if (const json::value* otherwise = reader.take("otherwise")) {
    TRY(step, read_step(*otherwise, "otherwise"));
    script.otherwise = std::move(step);
  }
  TRY_VOID(reader.finish());
  return script;
}

Result<Script> load_script(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return fail(ErrorCode::kInvalidArgument, fmt::format("The script '{}' cannot be read.", path));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto script = parse_script(text);
  if (!script) script.error().message = fmt::format("{}: {}", path, script.error().message);
  return script;
}

std::vector<std::string> split_words(std::string_view text) {
  auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\t'; };
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_space(text[end])) ++end;
    while (end < text.size() && !is_space(text[end])) ++end;
    while (end < text.size() && is_space(text[end])) ++end;
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace perdure::models
