// The `messages` of a Converse request: a conversation in strictly alternating turns.
//
// A pure function of its arguments; bedrock_request.h says what it is part of.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "models/bedrock_model.h"
#include "models/provider.h"

namespace perdure::models {

/// A block after which the service may keep what it has read so far.
inline constexpr std::string_view kBedrockCachePoint = R"({"cachePoint":{"type":"default"}})";

struct BedrockMessages {
  std::string json;                     ///< the array
  std::vector<std::string> tools_used;  ///< names in toolUse blocks, each once, in order
};

/// kInvalidArgument for an image that cannot be sent, and for a conversation without a word.
Result<BedrockMessages> bedrock_messages(const std::vector<ContextItem>& context,
                                         const BedrockModel& model);

}  // namespace perdure::models
