// Streams as the service sends them, written here as lines of "event payload".

#include "models/bedrock_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/bedrock_request.h"
#include "models/bedrock_test_support.h"
#include "models/limits.h"
#include "models/streamed_call.h"
#include "models/testing.h"

namespace perdure::models {
namespace {

using testing::Answer;
using testing::event_frame;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RecordingSink;

using Events = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kModel = "us.anthropic.claude-opus-4-6-v1";

Answer decode(const Events& events, RecordingSink& sink, std::string model = kModel) {
  BedrockStream decoder(FailureMapper("bedrock", "ABSKsecret"), std::move(model));
  for (const auto& [event, data] : events) {
    auto progress = decoder.on_event(event, data, sink);
    if (!progress) return std::unexpected(progress.error());
    if (*progress == Progress::kComplete) break;
  }
  return decoder.finish(sink);
}

std::string decoded(const Events& events, std::string model = kModel) {
  RecordingSink sink;
  Answer answer = decode(events, sink, std::move(model));
  return testing::describe(answer, sink);
}

Events text(int block, const char* piece) {
  return {{"contentBlockDelta", R"({"contentBlockIndex":)" + std::to_string(block) +
                                    R"(,"delta":{"text":")" + piece + R"("},"p":"abcdefgh"})"}};
}
Events stop(int block) {
  return {{"contentBlockStop", R"({"contentBlockIndex":)" + std::to_string(block) + "}"}};
}
Events start_call(int block, const char* id, const char* name) {
  return {{"contentBlockStart", R"({"contentBlockIndex":)" + std::to_string(block) +
                                    R"(,"start":{"toolUse":{"toolUseId":")" + id + R"(","name":")" +
                                    name + R"("}}})"}};
}
Events input(int block, const char* escaped) {
  return {{"contentBlockDelta", R"({"contentBlockIndex":)" + std::to_string(block) +
                                    R"(,"delta":{"toolUse":{"input":")" + escaped + R"("}}})"}};
}
Events reasoning(int block, const char* member, const char* value) {
  return {{"contentBlockDelta", R"({"contentBlockIndex":)" + std::to_string(block) +
                                    R"(,"delta":{"reasoningContent":{")" + member + R"(":")" +
                                    value + R"("}}})"}};
}
Events end(const char* reason) {
  return {{"messageStop", std::string(R"({"stopReason":")") + reason + R"("})"}};
}
const Events kStart = {{"messageStart", R"({"role":"assistant","p":"abc"})"}};
const Events kUsage = {
    {"metadata",
     R"({"metrics":{"latencyMs":551},"usage":{"inputTokens":12,"outputTokens":7,"totalTokens":19}})"}};

Events operator+(Events left, const Events& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

TEST(BedrockStream, StreamsTextAndCountsUsage) {
  EXPECT_EQ(
      decoded(kStart + text(0, "Hel") + text(0, "lo \\u00e9") + stop(0) + end("end_turn") + kUsage),
      "streams item 0: \"Hel\" \"lo é\"\n"
      "message \"Hello é\"\n"
      "usage input=12 cached=0 output=7 reasoning=0\n"
      "finish stop model us.anthropic.claude-opus-4-6-v1\n");
}

TEST(BedrockStream, KeepsTextReasoningAndEveryParallelCall) {
  EXPECT_EQ(
      decoded(kStart + reasoning(0, "text", "Hm, ") + reasoning(0, "text", "two \\\"cities\\\".") +
              reasoning(0, "signature", "EqoB") + reasoning(0, "signature", "CkY=") + stop(0) +
              text(1, "Looking.") + stop(1) + start_call(2, "tooluse_1", "weather") + input(2, "") +
              input(2, "{\\\"city\\\": ") + input(2, "\\\"Oslo\\\"}") + stop(2) +
              start_call(3, "tooluse_2", "weather") + input(3, "{\\\"city\\\": \\\"Rome\\\"}") +
              stop(3) + start_call(4, "tooluse_3", "time") + stop(4) + end("tool_use") + kUsage),
      "streams item 1: \"Looking.\"\n"
      "reasoning \"Hm, two \\\"cities\\\".\"\n"
      R"(  raw bedrock-converse {"reasoningContent":{"reasoningText":{"text":"Hm, two \"cities\".","signature":"EqoBCkY="}}})"
      "\n"
      "message \"Looking.\"\n"
      R"(call tooluse_1 weather {"city": "Oslo"})"
      "\n"
      R"(call tooluse_2 weather {"city": "Rome"})"
      "\n"
      "call tooluse_3 time {}\n"
      "usage input=12 cached=0 output=7 reasoning=0\n"
      "finish tool_calls model us.anthropic.claude-opus-4-6-v1\n");
}

TEST(BedrockStream, PutsBlocksThatComeInterleavedTogether) {
  EXPECT_EQ(decoded(kStart + start_call(0, "a", "f") + start_call(1, "b", "g") +
                    input(1, "{\\\"y\\\":") + input(0, "{\\\"x\\\":1}") + input(1, "2}") + stop(1) +
                    stop(0) + end("tool_use") + kUsage),
            "call a f {\"x\":1}\n"
            "call b g {\"y\":2}\n"
            "usage input=12 cached=0 output=7 reasoning=0\n"
            "finish tool_calls model us.anthropic.claude-opus-4-6-v1\n");
}

TEST(BedrockStream, SendsWhatItKeptBackByteForByte) {
  RecordingSink sink;
  Answer answer =
      decode(kStart + reasoning(0, "text", "caf\\u00e9 \\ud83d\\ude00 \\/") +
                 reasoning(0, "signature", "c2ln") + stop(0) +
                 reasoning(1, "redactedContent", "AAEC") + reasoning(1, "redactedContent", "Aw==") +
                 stop(1) + text(2, "Done.") + stop(2) + end("end_turn") + kUsage,
             sink);
  ASSERT_TRUE(answer) << answer.error().message;
  ASSERT_EQ(answer->items.size(), 3u);
  EXPECT_EQ(answer->items[1].raw, R"({"reasoningContent":{"redactedContent":"AAECAw=="}})");
  ModelRequest next;
  next.model = kModel;
  next.context = {testing::user("go")};
  for (OutputItem& item : answer->items) next.context.emplace_back(item);
  next.context.push_back(testing::user("and?"));
  auto body = bedrock_request_body(next);
  ASSERT_TRUE(body);
  EXPECT_THAT(*body, HasSubstr(answer->items[0].raw + "," + answer->items[1].raw +
                               R"(,{"text":"Done."}])"));
}

TEST(BedrockStream, JoinsTextThatComesInManyBlocks) {
  EXPECT_EQ(
      decoded(kStart + text(0, "a") + stop(0) + text(1, "b") + stop(1) + start_call(2, "t", "f") +
              stop(2) + text(3, "c") + stop(3) + end("tool_use") + kUsage),
      "streams item 0: \"a\" \"b\"\n"
      "message \"ab\"\n"
      "call t f {}\n"
      "message \"c\"\n"
      "usage input=12 cached=0 output=7 reasoning=0\n"
      "finish tool_calls model us.anthropic.claude-opus-4-6-v1\n");
}

TEST(BedrockStream, MakesNoMessageOfEmptyText) {
  RecordingSink sink;
  Answer answer = decode(
      kStart + text(0, "") + stop(0) + start_call(1, "t", "f") + stop(1) + end("tool_use") + kUsage,
      sink);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->items.size(), 1u);
  EXPECT_TRUE(sink.messages.empty());
}

TEST(BedrockStream, CountsTheCacheAsPartOfTheInput) {
  auto usage = [](const char* counted, const char* model) {
    RecordingSink sink;
    Answer answer = decode(kStart + text(0, "x") + end("end_turn") +
                               Events{{"metadata", std::string(R"({"usage":)") + counted + "}"}},
                           sink, model);
    EXPECT_TRUE(answer && answer->usage_known);
    return answer ? answer->usage : TokenUsage{};
  };
  const char* counted =
      R"({"inputTokens":5,"outputTokens":3,"totalTokens":138,"cacheReadInputTokens":100,"cacheWriteInputTokens":30})";
  TokenUsage claude = usage(counted, kModel);
  EXPECT_EQ(claude.input_tokens, 135);
  EXPECT_EQ(claude.cached_tokens, 100);
  EXPECT_EQ(claude.cache_write_tokens, 30);
  EXPECT_EQ(claude.total(), 138);
  // GPT's streams count what was written to the cache as input once more.
  TokenUsage gpt = usage(
      R"({"inputTokens":4995,"outputTokens":19,"totalTokens":10007,"cacheReadInputTokens":0,"cacheWriteInputTokens":4993})",
      "openai.gpt-5.6");
  EXPECT_EQ(gpt.input_tokens, 4995);
  EXPECT_EQ(usage(counted, "openai.gpt-5.6").input_tokens, 135);
  TokenUsage none = usage(
      R"({"inputTokens":5,"outputTokens":3,"cacheReadInputTokens":0,"cacheWriteInputTokens":0})",
      kModel);
  EXPECT_EQ(none.input_tokens, 5);
}

TEST(BedrockStream, UnderstandsWhyTheAnswerEnds) {
  struct Case {
    const char* reason;
    Finish finish;
  };
  for (const Case& each :
       {Case{"end_turn", Finish::kStop}, Case{"stop_sequence", Finish::kStop},
        Case{"max_tokens", Finish::kLength}, Case{"model_context_window_exceeded", Finish::kLength},
        Case{"guardrail_intervened", Finish::kContentFilter},
        Case{"content_filtered", Finish::kContentFilter},
        Case{"a_reason_of_tomorrow", Finish::kStop}}) {
    RecordingSink sink;
    Answer answer = decode(kStart + text(0, "x") + stop(0) + end(each.reason) + kUsage, sink);
    ASSERT_TRUE(answer) << each.reason;
    EXPECT_EQ(answer->finish, each.finish) << each.reason;
  }
  RecordingSink sink;
  Answer calls = decode(kStart + start_call(0, "t", "f") + stop(0) + end("end_turn"), sink);
  ASSERT_TRUE(calls);
  EXPECT_EQ(calls->finish, Finish::kToolCalls) << "calls are calls, whatever the reason says";
  Answer cut = decode(
      kStart + start_call(0, "t", "f") + input(0, "{\\\"a") + stop(0) + end("max_tokens") + kUsage,
      sink);
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->finish, Finish::kLength);
  EXPECT_EQ(cut->items.at(0).arguments, "{\"a");
}

TEST(BedrockStream, FailsWhereTheAnswerIsNone) {
  for (const char* reason : {"malformed_model_output", "malformed_tool_use"}) {
    RecordingSink sink;
    Answer answer = decode(kStart + text(0, "x") + end(reason) + kUsage, sink);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, "server_error");
    EXPECT_TRUE(answer.error().retryable);
    EXPECT_TRUE(answer.error().usage_known) << "it has cost something";
    EXPECT_EQ(answer.error().usage.output_tokens, 7);
  }
  RecordingSink sink;
  Answer full = decode(kStart + end("model_context_window_exceeded") + kUsage, sink);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, "context_length_exceeded");
  EXPECT_FALSE(full.error().retryable);
}

TEST(BedrockStream, WaitsForTheUsageAndDoesWithoutIt) {
  RecordingSink sink;
  BedrockStream decoder(FailureMapper("bedrock", ""), kModel);
  for (const auto& [event, data] : kStart + text(0, "x") + stop(0) + end("end_turn"))
    EXPECT_EQ(decoder.on_event(event, data, sink).value(), Progress::kMore) << event;
  EXPECT_EQ(decoder.on_event(kUsage[0].first, kUsage[0].second, sink).value(), Progress::kComplete);

  Answer without = decode(kStart + text(0, "x") + stop(0) + end("end_turn"), sink = {});
  ASSERT_TRUE(without);
  EXPECT_FALSE(without->usage_known);
}

TEST(BedrockStream, NeverSucceedsWithPartOfAnAnswer) {
  Events whole = kStart + text(0, "a") + stop(0) + start_call(1, "t", "f") + input(1, "{}") +
                 stop(1) + end("tool_use") + kUsage;
  for (std::size_t count = 0; count + 2 < whole.size(); ++count) {
    RecordingSink sink;
    Answer part = decode(Events(whole.begin(), whole.begin() + count), sink);
    ASSERT_FALSE(part) << count;
    EXPECT_EQ(part.error().code, "connection_failed");
    EXPECT_TRUE(part.error().retryable);
  }
}

TEST(BedrockStream, KnowsNoUsageOfAnAnswerThatIsCutOff) {
  for (const Events& begin :
       {kStart, kStart + text(0, "a"), kStart + text(0, "a") + stop(0),
        kStart + text(0, "a") +
            Events{{std::string(kExceptionEvent) + "modelStreamErrorException", ""}}}) {
    RecordingSink sink;
    Answer part = decode(begin, sink);
    ASSERT_FALSE(part);
    EXPECT_FALSE(part.error().usage_known) << "no count may be taken for one of nothing";
  }
}

TEST(BedrockStream, CountsNoReasoningApartFromTheAnswer) {
  RecordingSink sink;
  Answer answer = decode(kStart + reasoning(0, "text", "Hm.") + stop(0) + text(1, "x") + stop(1) +
                             end("end_turn") + kUsage,
                         sink);
  ASSERT_TRUE(answer);
  ASSERT_TRUE(answer->usage_known);
  EXPECT_EQ(answer->usage.output_tokens, 7) << "the reasoning is in it";
  EXPECT_EQ(answer->usage.reasoning_tokens, 0);
}

TEST(BedrockStream, MapsExceptionsInTheStream) {
  struct Case {
    const char* type;
    const char* message;
    const char* code;
    bool retryable;
  };
  for (const Case& each :
       {Case{"throttlingException", "Too many requests", "rate_limit_exceeded", true},
        Case{"modelStreamErrorException", "x", "server_error", true},
        Case{"internalServerException", "x", "server_error", true},
        Case{"serviceUnavailableException", "x", "server_overloaded", true},
        Case{"modelTimeoutException", "x", "request_timeout", true},
        Case{"validationException", "x", "invalid_request", false},
        Case{"validationException", "Input is too long for requested model.",
             "context_length_exceeded", false},
        Case{"somethingNewException", "x", "server_error", true}}) {
    RecordingSink sink;
    Answer answer =
        decode(kStart + text(0, "a") +
                   Events{{std::string(kExceptionEvent) + each.type,
                           std::string(R"({"message":")") + each.message + " ABSKsecret\"}"}},
               sink);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, each.code) << each.type;
    EXPECT_EQ(answer.error().retryable, each.retryable) << each.type;
    EXPECT_THAT(answer.error().message, HasSubstr(each.message));
    EXPECT_THAT(answer.error().message, Not(HasSubstr("secret")));
  }
  RecordingSink sink;
  Answer key = decode({{std::string(kExceptionEvent) + "unrecognizedClientException",
                        R"({"message":"the key BASE64 is not known"})"}},
                      sink);
  EXPECT_EQ(key.error().code, "authentication_error");
  EXPECT_THAT(key.error().message, Not(HasSubstr("BASE64")));
  Answer bare = decode({{std::string(kExceptionEvent) + "throttlingException", ""}}, sink);
  EXPECT_EQ(bare.error().code, "rate_limit_exceeded");
  EXPECT_THAT(bare.error().message, HasSubstr("ThrottlingException"));
}

TEST(BedrockStream, RefusesWhatIsNotTheProtocol) {
  for (const Events& broken :
       {Events{{"contentBlockDelta", "not json"}}, Events{{"contentBlockDelta", "[]"}},
        Events{{"contentBlockDelta", R"({"delta":{"text":"x"}})"}}, input(0, "{}"),
        text(0, "a") + input(0, "{}"), text(0, "a") + stop(0) + text(0, "b"),
        start_call(0, "t", ""), start_call(0, "t", "f") + text(0, "x"),
        start_call(0, "", "f") + stop(0) + end("tool_use"),
        start_call(0, "t", "f") + start_call(1, "t", "f") + end("tool_use"),
        reasoning(0, "redactedContent", "!"), Events{{"messageStop", "{}"}},
        Events{{"contentBlockStart",
                R"({"contentBlockIndex":0,"start":{"image":{"format":"png"}}})"}}}) {
    RecordingSink sink;
    Answer answer = decode(broken, sink);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, "server_error") << broken.back().second;
  }
  Events many;
  for (int block = 0; block <= static_cast<int>(kMaxOutputItems); ++block)
    many = std::move(many) + text(block, "x");
  RecordingSink sink;
  EXPECT_FALSE(decode(many, sink));
}

TEST(BedrockStream, PassesOverWhatItHasNoPlaceFor) {
  EXPECT_EQ(
      decoded(
          kStart + Events{{"tomorrowsEvent", "{}"}} +
          Events{
              {"contentBlockStart",
               R"({"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"s","name":"nova_grounding","type":"server_tool_use"}}})"}} +
          input(0, "{}") + stop(0) +
          Events{{"contentBlockStart",
                  R"({"contentBlockIndex":1,"start":{"toolResult":{"toolUseId":"s"}}})"}} +
          stop(1) + text(2, "Cited.") +
          Events{{"contentBlockDelta",
                  R"({"contentBlockIndex":2,"delta":{"citation":{"title":"T"}}})"}} +
          stop(2) + end("end_turn") + kUsage),
      "streams item 0: \"Cited.\"\n"
      "message \"Cited.\"\n"
      "usage input=12 cached=0 output=7 reasoning=0\n"
      "finish stop model us.anthropic.claude-opus-4-6-v1\n");
}

TEST(BedrockStream, NamesTheModelThatARouterChose) {
  RecordingSink sink;
  Answer answer = decode(
      kStart + text(0, "x") + end("end_turn") +
          Events{
              {"metadata",
               R"({"usage":{"inputTokens":1,"outputTokens":1},"trace":{"promptRouter":{"invokedModelId":"arn:m"}}})"}},
      sink);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->model, "arn:m");
}

TEST(BedrockStream, FramesBecomeEvents) {
  auto as_event = [](const std::string& frame) {
    EventStreamDecoder decoder;
    std::vector<EventStreamMessage> messages;
    EXPECT_TRUE(decoder.feed(frame, messages));
    return event_of_frame(messages.at(0));
  };
  EXPECT_EQ(as_event(event_frame("messageStart", "{}")).event, "messageStart");
  http::SseEvent thrown = as_event(testing::exception_frame("throttlingException", R"({"a":1})"));
  EXPECT_EQ(thrown.event, std::string(kExceptionEvent) + "throttlingException");
  EXPECT_EQ(thrown.data, R"({"a":1})");
  http::SseEvent error =
      as_event(*encode_event_stream({{{":message-type", std::string("error")},
                                      {":error-code", std::string("InternalFailure")},
                                      {":error-message", std::string("a \"b\"")}},
                                     ""}));
  EXPECT_EQ(error.event, std::string(kExceptionEvent) + "InternalFailure");
  EXPECT_EQ(error.data, R"({"message":"a \"b\""})");
}

}  // namespace
}  // namespace perdure::models
