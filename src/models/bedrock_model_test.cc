#include "models/bedrock_model.h"

#include <gtest/gtest.h>

namespace perdure::models {
namespace {

using Effort = BedrockModel::Effort;
using Family = BedrockModel::Family;

TEST(BedrockModel, IsKnownByItsId) {
  struct Case {
    const char* id;
    Family family;
    Effort effort;
    bool thinks_unasked;
    bool caches;
    bool caches_tools;
  };
  constexpr auto kClaude = Family::kAnthropic;
  const Case cases[] = {
      {"anthropic.claude-opus-5", kClaude, Effort::kAdaptiveThinking, true, true, true},
      {"anthropic.claude-mythos-preview", kClaude, Effort::kAdaptiveThinking, true, true, true},
      {"us.anthropic.claude-opus-4-6-v1", kClaude, Effort::kAdaptiveThinking, false, true, true},
      {"global.anthropic.claude-opus-4-8", kClaude, Effort::kAdaptiveThinking, false, true, true},
      {"anthropic.claude-sonnet-4-5-20250929-v1:0", kClaude, Effort::kThinkingBudget, false, true,
       true},
      {"eu.anthropic.claude-sonnet-4-20250514-v1:0", kClaude, Effort::kThinkingBudget, false, true,
       true},
      {"arn:aws:bedrock:us-east-1:123456789012:inference-profile/"
       "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
       kClaude, Effort::kThinkingBudget, false, true, true},
      {"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-5-haiku-20241022-v1:0",
       kClaude, Effort::kNotAReasoner, false, true, true},
      {"anthropic.claude-3-5-sonnet-20241022-v2:0", kClaude, Effort::kNotAReasoner, false, false,
       false},
      {"anthropic.claude-3-haiku-20240307-v1:0", kClaude, Effort::kNotAReasoner, false, false,
       false},
      {"anthropic.claude-v2:1", kClaude, Effort::kNotAReasoner, false, false, false},
      {"anthropic.claude-instant-v1", kClaude, Effort::kNotAReasoner, false, false, false},
      {"us.amazon.nova-2-lite-v1:0", Family::kNova, Effort::kReasoningConfig, false, true, false},
      {"amazon.nova-pro-v1:0", Family::kNova, Effort::kNotAReasoner, false, true, false},
      {"amazon.titan-text-express-v1", Family::kUnknown, Effort::kUnknown, false, false, false},
      {"openai.gpt-oss-120b-1:0", Family::kOpenAi, Effort::kFlat, true, false, false},
      {"openai.gpt-5.6", Family::kOpenAi, Effort::kNested, true, false, false},
      {"moonshotai.kimi-k2.5", Family::kUnknown, Effort::kFlat, false, false, false},
      {"meta.llama3-1-70b-instruct-v1:0", Family::kUnknown, Effort::kUnknown, false, false, false},
      {"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcd1234",
       Family::kUnknown, Effort::kUnknown, false, false, false},
      {"my-anthropic.claude-3-7", Family::kUnknown, Effort::kUnknown, false, false, false},
      {"", Family::kUnknown, Effort::kUnknown, false, false, false},
  };
  for (const Case& each : cases) {
    BedrockModel model = BedrockModel::from_id(each.id);
    EXPECT_EQ(model.family, each.family) << each.id;
    EXPECT_EQ(model.effort, each.effort) << each.id;
    EXPECT_EQ(model.thinks_unasked, each.thinks_unasked) << each.id;
    EXPECT_EQ(model.caches, each.caches) << each.id;
    EXPECT_EQ(model.caches_tools, each.caches_tools) << each.id;
  }
}

}  // namespace
}  // namespace perdure::models
