#include "models/bedrock_request.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "models/bedrock_messages.h"
#include "models/bedrock_model.h"
#include "models/json_text.h"
#include "models/request_check.h"

namespace perdure::models {
namespace {

using Effort = BedrockModel::Effort;
using Family = BedrockModel::Family;
using Words = std::vector<std::string_view>;

/// Tokens to think with, where a model wants a number; at least the first may be asked for.
constexpr std::int64_t kMinThinkingBudget = 1024;
constexpr std::int64_t kLowBudget = 2048;
constexpr std::int64_t kMediumBudget = 8192;
constexpr std::int64_t kHighBudget = 16384;

std::unexpected<Error> refused(std::string message, std::string param) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(param));
}

std::string type_only(std::string_view type) {
  return ObjectText().add("type", type).text();
}

/// The body while it is put together: the parts that several settings add to.
struct Body {
  const ModelRequest& request;
  BedrockModel model;
  ObjectText additional;  ///< additionalModelRequestFields: the model's own words
  bool has_additional = false;
  ObjectText output;  ///< outputConfig
  bool has_output = false;

  void add_additional(std::string_view key, std::string_view json) {
    additional.add_raw(key, json);
    has_additional = true;
  }
  void add_output(std::string_view key, std::string_view json) {
    output.add_raw(key, json);
    has_output = true;
  }
};

/// The efforts that the model has words for.
Words known_efforts(const BedrockModel& model) {
  switch (model.effort) {
    case Effort::kUnknown:
      return {};
    case Effort::kNotAReasoner:
      return {"none"};
    case Effort::kAdaptiveThinking:
      if (model.thinks_unasked) return {"low", "medium", "high", "xhigh", "max"};
      return {"none", "low", "medium", "high", "xhigh", "max"};
    case Effort::kThinkingBudget:
    case Effort::kReasoningConfig:
      return {"none", "low", "medium", "high"};
    case Effort::kFlat:
      return {"low", "medium", "high"};
    case Effort::kNested:
      return {"none", "low", "medium", "high", "xhigh", "max"};
  }
  return {};
}

Result<std::string> thinking_budget(const ModelRequest& request) {
  std::int64_t budget = request.reasoning_effort == "low"      ? kLowBudget
                        : request.reasoning_effort == "medium" ? kMediumBudget
                                                               : kHighBudget;
  // The budget is a part of the answer's tokens, of which something must be left to say.
  if (request.max_output_tokens > 0) budget = std::min(budget, request.max_output_tokens / 2);
  if (budget < kMinThinkingBudget)
    return refused(fmt::format("With a reasoning effort the model needs max_output_tokens of at "
                               "least {}.",
                               2 * kMinThinkingBudget),
                   "max_output_tokens");
  return ObjectText().add("type", "enabled").add("budget_tokens", budget).text();
}

Result<void> add_effort(Body& body) {
  const ModelRequest& request = body.request;
  const std::string& effort = request.reasoning_effort;
  if (effort.empty()) return {};
  Words words = known_efforts(body.model);
  if (std::ranges::find(words, effort) == words.end())
    return refused(
        words.empty()
            ? fmt::format("It is not known how to tell '{}' on Bedrock a reasoning effort; its id "
                          "does not say what kind of model it is. Leave the effort out.",
                          request.model)
            : fmt::format("'{}' on Bedrock has no reasoning effort '{}', only: {}.", request.model,
                          effort, fmt::join(words, ", ")),
        "reasoning.effort");
  switch (body.model.effort) {
    case Effort::kUnknown:
    case Effort::kNotAReasoner:
      return {};
    case Effort::kAdaptiveThinking:
      if (effort == "none") return {};
      body.add_additional("thinking", type_only("adaptive"));
      body.add_output("effort", json_quoted(effort));
      return {};
    case Effort::kThinkingBudget: {
      if (effort == "none") return {};
      TRY(thinking, thinking_budget(request));
      body.add_additional("thinking", thinking);
      return {};
    }
    case Effort::kReasoningConfig: {
      if (effort == "high" && request.max_output_tokens > 0)
        return refused("Nova takes no max_output_tokens with the reasoning effort 'high'.",
                       "max_output_tokens");
      ObjectText config;
      config.add("type", effort == "none" ? "disabled" : "enabled");
      if (effort != "none") config.add("maxReasoningEffort", effort);
      body.add_additional("reasoningConfig", config.text());
      return {};
    }
    case Effort::kFlat:
      body.add_additional("reasoning_effort", json_quoted(effort));
      return {};
    case Effort::kNested:
      body.add_additional("reasoning", ObjectText().add("effort", effort).text());
      return {};
  }
  return {};
}

/// The protocol's union, or nothing for what it has no member for.
std::string tool_choice(const std::string& choice) {
  if (choice == "auto") return R"({"auto":{}})";
  if (choice == "required") return R"({"any":{}})";
  if (!names_function(choice)) return {};
  return ObjectText().add_raw("tool", ObjectText().add("name", choice).text()).text();
}

/// Anthropic's own tool_choice, which can say two things more than the protocol's.
std::string claude_tool_choice(const ModelRequest& request, bool allowed) {
  if (!allowed) return type_only("none");
  ObjectText choice;
  if (names_function(request.tool_choice))
    choice.add("type", "tool").add("name", request.tool_choice);
  else
    choice.add("type", request.tool_choice == "required" ? "any" : "auto");
  return choice.add("disable_parallel_tool_use", true).text();
}

std::string tools_array(const std::vector<FunctionTool>& tools, const BedrockModel& model) {
  ArrayText array;
  for (const FunctionTool& tool : tools) {
    std::string_view schema = tool.parameters.empty() ? kNoParameters : tool.parameters;
    ObjectText spec;
    spec.add("name", tool.name);
    if (tool.description.find_first_not_of(" \t\r\n") != std::string::npos)
      spec.add("description", tool.description);
    spec.add_raw("inputSchema", ObjectText().add_raw("json", schema).text());
    array.add_raw(ObjectText().add_raw("toolSpec", spec.text()).text());
  }
  if (model.caches_tools) array.add_raw(kBedrockCachePoint);
  return array.text();
}

/// The service refuses a conversation with calls and no toolConfig, and has no word for "none".
/// So tools are left out where nothing was called yet; after that they are told and Claude is
/// forbidden them in its own words. Where the tools are gone, those that were called are named.
Result<std::string> tool_config(Body& body, const std::vector<std::string>& used) {
  const ModelRequest& request = body.request;
  bool allowed = request.tool_choice != "none" && !request.tools.empty();
  if (!allowed && used.empty()) return std::string();
  std::vector<FunctionTool> tools = request.tools;
  for (const std::string& name : used)
    if (request.tools.empty())
      tools.push_back({.name = name, .description = "No longer offered; it must not be called."});
  ObjectText config;
  config.add_raw("tools", tools_array(tools, body.model));
  bool one_at_a_time = allowed && !request.parallel_tool_calls;
  if (body.model.family == Family::kAnthropic && (!allowed || one_at_a_time)) {
    // In one place only: told twice, they are refused as a contradiction.
    body.add_additional("tool_choice", claude_tool_choice(request, allowed));
  } else if (one_at_a_time) {
    return refused(fmt::format("'{}' on Bedrock cannot be told to call one function at a time.",
                               request.model),
                   "parallel_tool_calls");
  } else if (std::string choice = tool_choice(request.tool_choice); allowed && !choice.empty()) {
    config.add_raw("toolChoice", choice);
  }
  return config.text();
}

std::string system_blocks(const ModelRequest& request, const BedrockModel& model) {
  if (request.instructions.find_first_not_of(" \t\r\n") == std::string::npos) return {};
  ArrayText blocks;
  blocks.add_raw(ObjectText().add("text", request.instructions).text());
  if (model.caches) blocks.add_raw(kBedrockCachePoint);
  return blocks.text();
}

void add_text_format(Body& body) {
  if (body.request.text_format.empty()) return;
  // The schema is told as a string that holds JSON.
  std::string schema =
      ObjectText().add("schema", body.request.text_format).add("name", "answer").text();
  std::string structure = ObjectText().add_raw("jsonSchema", schema).text();
  body.add_output("textFormat",
                  ObjectText().add("type", "json_schema").add_raw("structure", structure).text());
}

Result<void> check_tier(const std::string& tier) {
  constexpr std::array<std::string_view, 5> kTiers = {"", "priority", "default", "flex",
                                                      "reserved"};
  if (std::ranges::find(kTiers, tier) != kTiers.end()) return {};
  return refused(fmt::format("Bedrock has no service tier '{}', only: priority, default, flex, "
                             "reserved.",
                             tier),
                 "service_tier");
}

}  // namespace

std::string bedrock_path(std::string_view model_id) {
  std::string path = "model/";
  for (unsigned char c : model_id) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '_' || c == '.' || c == '~';
    if (plain)
      path += static_cast<char>(c);
    else
      path += fmt::format("%{:02X}", c);
  }
  return path + "/converse-stream";
}

Result<std::string> bedrock_request_body(const ModelRequest& request) {
  TRY_VOID(check_request(request));
  TRY_VOID(check_tier(request.service_tier));
  Body body{.request = request, .model = BedrockModel::from_id(request.model)};
  TRY(messages, bedrock_messages(request.context, body.model));
  TRY(tools, tool_config(body, messages.tools_used));
  TRY_VOID(add_effort(body));
  add_text_format(body);

  // In the order in which prompt caches read: tools, instructions, conversation.
  ObjectText text;
  if (!tools.empty()) text.add_raw("toolConfig", tools);
  if (std::string system = system_blocks(request, body.model); !system.empty())
    text.add_raw("system", system);
  text.add_raw("messages", messages.json);
  ObjectText inference;
  if (request.max_output_tokens > 0) inference.add("maxTokens", request.max_output_tokens);
  if (request.sampling.temperature)
    inference.add("temperature", std::min(*request.sampling.temperature, 1.0));
  inference.add_known("topP", request.sampling.top_p);
  if (std::string config = inference.text(); config != "{}")
    text.add_raw("inferenceConfig", config);
  if (body.has_additional) text.add_raw("additionalModelRequestFields", body.additional.text());
  if (body.has_output) text.add_raw("outputConfig", body.output.text());
  if (!request.service_tier.empty()) text.add_raw("serviceTier", type_only(request.service_tier));
  return text.text();
}

}  // namespace perdure::models
