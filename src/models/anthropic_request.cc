#include "models/anthropic_request.h"

#include <algorithm>
#include <array>

#include "base/raw_json.h"
#include "models/anthropic_conversation.h"
#include "models/anthropic_names.h"
#include "models/json_text.h"
#include "models/limits.h"
#include "models/request_check.h"

namespace perdure::models {
namespace {

/// The API wants a schema that says it is of an object.
std::string input_schema(std::string_view parameters) {
  if (parameters.empty()) return std::string(kNoParameters);
  if (raw_member(parameters, "type")) return std::string(parameters);
  ObjectText schema;
  schema.add("type", "object");
  for_each_raw_member(parameters, [&](std::string_view key, std::string_view value) {
    schema.add_raw(key, value);
  });
  return schema.text();
}

std::string tools_array(const std::vector<FunctionTool>& tools, std::string_view mark) {
  ArrayText array;
  for (const FunctionTool& tool : tools) {
    ObjectText object;
    object.add("name", anthropic_tool_name(tool.name));
    if (!tool.description.empty()) object.add("description", tool.description);
    object.add_raw("input_schema", input_schema(tool.parameters));
    if (&tool == &tools.back()) object.add_raw("cache_control", mark);
    array.add_raw(object.text());
  }
  return array.text();
}

bool is_forced(const ModelRequest& request) {
  return !request.tools.empty() &&
         (request.tool_choice == "required" || names_function(request.tool_choice));
}

void add_tools(ObjectText& body, const ModelRequest& request) {
  if (request.tools.empty()) return;
  body.add_raw("tools", tools_array(request.tools, cache_control(request.cache_ttl)));
  if (request.tool_choice.empty() && request.parallel_tool_calls) return;
  ObjectText choice;
  if (names_function(request.tool_choice))
    choice.add("type", "tool").add("name", anthropic_tool_name(request.tool_choice));
  else if (request.tool_choice == "required")
    choice.add("type", "any");
  else
    choice.add("type", request.tool_choice.empty() ? "auto" : request.tool_choice);
  if (!request.parallel_tool_calls && request.tool_choice != "none")
    choice.add("disable_parallel_tool_use", true);
  body.add_raw("tool_choice", choice.text());
}

/// The tokens that an effort is worth on a model that wants a number.
std::int64_t budget_of(std::string_view effort) {
  struct Budget {
    std::string_view effort;
    std::int64_t tokens;
  };
  static constexpr std::array kBudgets = {Budget{"minimal", 1'024}, Budget{"low", 4'096},
                                          Budget{"medium", 8'192},  Budget{"high", 16'384},
                                          Budget{"xhigh", 24'576},  Budget{"max", 30'720}};
  auto found = std::ranges::find(kBudgets, effort, &Budget::effort);
  return found == kBudgets.end() ? 8'192 : found->tokens;  // a summary was asked for, no effort
}

std::string_view effort_of(std::string_view effort) {
  return effort == "minimal" ? "low" : effort;
}

struct Reasoning {
  std::string thinking;  ///< JSON text or empty
  std::string effort;    ///< or empty
};

/// Thinking and a forced call exclude each other: the call wins.
Reasoning reasoning_of(const ModelRequest& request, const AnthropicConversation& conversation,
                       std::int64_t max_tokens) {
  const std::string& effort = request.reasoning_effort;
  bool wanted = effort != "none" && !(effort.empty() && request.reasoning_summary.empty());
  ObjectText thinking;
  if (anthropic_thinking(request.model) == AnthropicThinking::kAdaptive) {
    // Some models think unless told not to.
    if (effort == "none" || is_forced(request)) return {R"({"type":"disabled"})", {}};
    if (!wanted) return {};
    thinking.add("type", "adaptive");
    if (!request.reasoning_summary.empty()) thinking.add("display", "summarized");
    return {thinking.text(), std::string(effort_of(effort))};
  }
  std::int64_t budget = std::min(budget_of(effort), max_tokens - kMinAnthropicThinkingBudget);
  if (!wanted || is_forced(request) || budget < kMinAnthropicThinkingBudget ||
      conversation.continues_without_thinking())
    return {};
  return {thinking.add("type", "enabled").add("budget_tokens", budget).text(), {}};
}

void add_output_config(ObjectText& body, const ModelRequest& request, const std::string& effort) {
  if (request.text_format.empty() && effort.empty()) return;
  ObjectText config;
  if (!effort.empty()) config.add("effort", effort);
  if (!request.text_format.empty())
    config.add_raw(
        "format",
        ObjectText().add("type", "json_schema").add_raw("schema", request.text_format).text());
  body.add_raw("output_config", config.text());
}

}  // namespace

Result<std::string> anthropic_request_body(const ModelRequest& request) {
  TRY_VOID(check_request(request));
  TRY(conversation, AnthropicConversation::make(request.context));
  std::int64_t max_tokens =
      request.max_output_tokens > 0 ? request.max_output_tokens : kDefaultAnthropicMaxTokens;
  ObjectText body;
  body.add("model", request.model);
  body.add("max_tokens", max_tokens);
  add_tools(body, request);
  if (!is_blank(request.instructions)) {
    ObjectText system;
    system.add("type", "text").add("text", request.instructions);
    system.add_raw("cache_control", cache_control(request.cache_ttl));
    body.add_raw("system", ArrayText().add_raw(system.text()).text());
  }
  Reasoning reasoning = reasoning_of(request, conversation, max_tokens);
  if (!reasoning.thinking.empty()) body.add_raw("thinking", reasoning.thinking);
  add_output_config(body, request, reasoning.effort);
  // Their scale ends at 1; with thinking, no other temperature than 1 is taken.
  if (request.sampling.temperature && reasoning.thinking.empty())
    body.add("temperature", std::min(*request.sampling.temperature, 1.0));
  if (reasoning.thinking.empty()) body.add_known("top_p", request.sampling.top_p);
  body.add_raw("messages", conversation.text(cache_control(request.cache_ttl)));
  body.add("stream", true);
  return body.text();
}

}  // namespace perdure::models
