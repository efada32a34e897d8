// What has to be known of a model on Amazon Bedrock to ask it, as far as its id tells.
//
// Converse is one protocol for all models, yet how hard a model thinks, where a prompt cache may be
// marked and which reasoning may be sent back differs by family, and the service refuses what a
// family does not know. The id names the family, also inside an inference profile's id or ARN
// ("us.anthropic.claude…"); an application inference profile or a custom model hides it, and then
// only what all models take is said. A plain value.
#pragma once

#include <string_view>

namespace perdure::models {

struct BedrockModel {
  enum class Family { kUnknown, kAnthropic, kNova, kOpenAi };
  /// The words in which a reasoning effort is told.
  enum class Effort {
    kUnknown,           ///< none that is known
    kNotAReasoner,      ///< the model does not reason; only "none" can be said, by saying nothing
    kAdaptiveThinking,  ///< Claude from 4.6: thinking adaptive, outputConfig.effort
    kThinkingBudget,    ///< Claude 3.7 to 4.5: thinking enabled, with a budget of tokens
    kReasoningConfig,   ///< Nova 2: reasoningConfig.maxReasoningEffort
    kFlat,              ///< gpt-oss, Kimi: reasoning_effort
    kNested,            ///< GPT: reasoning.effort
  };

  Family family = Family::kUnknown;
  Effort effort = Effort::kUnknown;
  bool thinks_unasked = false;  ///< reasons where no effort is told
  bool caches = false;          ///< cachePoint in system and messages
  bool caches_tools = false;    ///< cachePoint in toolConfig, and straight after a toolResult

  static BedrockModel from_id(std::string_view model_id);
};

}  // namespace perdure::models
