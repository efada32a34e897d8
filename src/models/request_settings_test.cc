// What a request may say of one call, in the words of each protocol.
#include <gtest/gtest.h>

#include "base/raw_json.h"
#include "models/anthropic_request.h"
#include "models/bedrock_request.h"
#include "models/chat_request.h"
#include "models/responses_request.h"
#include "models/testing.h"

namespace perdure::models {
namespace {

ModelRequest request_with(Sampling sampling) {
  ModelRequest request;
  request.model = "anthropic.claude-sonnet-4";
  request.context = {UserMessage{{"Be terse."}, Sender::kDeveloper}, testing::user("hi")};
  request.sampling = sampling;
  return request;
}

std::string member(const Result<std::string>& body, std::string_view key) {
  EXPECT_TRUE(body);
  return body ? std::string(raw_member(*body, key).value_or("absent")) : "";
}

TEST(RequestSettings, TellEachProtocolHowToChooseTokens) {
  const ModelRequest request = request_with({.temperature = 0.1, .top_p = 0.75});
  for (const auto& body :
       {responses_request_body(request, /*is_openai=*/true),
        chat_request_body(request, ChatDialect::kCompatible), anthropic_request_body(request)}) {
    EXPECT_EQ(member(body, "temperature"), "0.1");
    EXPECT_EQ(member(body, "top_p"), "0.75");
  }
  EXPECT_EQ(member(bedrock_request_body(request), "inferenceConfig"),
            R"({"temperature":0.1,"topP":0.75})");
}

TEST(RequestSettings, SayNothingWhereNothingIsAsked) {
  const ModelRequest request = request_with({});
  for (const auto& body :
       {responses_request_body(request, /*is_openai=*/true),
        chat_request_body(request, ChatDialect::kOpenAi), anthropic_request_body(request)})
    for (const char* key : {"temperature", "top_p", "presence_penalty", "frequency_penalty"})
      EXPECT_EQ(member(body, key), "absent") << key;
  EXPECT_EQ(member(bedrock_request_body(request), "inferenceConfig"), "absent");
}

TEST(RequestSettings, TellPenaltiesWhereTheProtocolHasThem) {
  const ModelRequest request = request_with({.presence_penalty = -0.5, .frequency_penalty = 1.5});
  auto body = chat_request_body(request, ChatDialect::kOpenAi);
  EXPECT_EQ(member(body, "presence_penalty"), "-0.5");
  EXPECT_EQ(member(body, "frequency_penalty"), "1.5");
}

TEST(RequestSettings, TellADevelopersMessageFromAUsers) {
  const ModelRequest request = request_with({});
  EXPECT_NE(member(responses_request_body(request, true), "input").find(R"("role":"developer")"),
            std::string::npos);
  EXPECT_NE(member(chat_request_body(request, ChatDialect::kOpenAi), "messages")
                .find(R"("role":"developer")"),
            std::string::npos);
  for (const auto& body : {chat_request_body(request, ChatDialect::kCompatible),
                           anthropic_request_body(request), bedrock_request_body(request)})
    EXPECT_NE(member(body, "messages").find("not the user"), std::string::npos);
}

TEST(RequestSettings, TellStrictFunctions) {
  ModelRequest request = request_with({});
  request.tools = {{"a", "", R"({"type":"object"})", true}};
  EXPECT_NE(member(responses_request_body(request, true), "tools").find(R"("strict":true)"),
            std::string::npos);
  EXPECT_NE(
      member(chat_request_body(request, ChatDialect::kOpenAi), "tools").find(R"("strict":true)"),
      std::string::npos);
}

}  // namespace
}  // namespace perdure::models
