// The Bedrock provider against a server on loopback.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "base/raw_json.h"
#include "http/client.h"
#include "models/bedrock_converse.h"
#include "models/bedrock_test_support.h"
#include "models/failure.h"
#include "models/fake_upstream.h"
#include "models/testing.h"

namespace perdure::models {
namespace {

using testing::Answer;
using testing::event_frame;
using ::testing::HasSubstr;
using testing::http_answer;
using ::testing::Not;
using testing::RecordingSink;
using testing::stream_answer;

constexpr const char* kKey = "ABSKQmVkcm9ja0FQSUtleQ+/secret==";

std::string frames() {
  return event_frame("messageStart", R"({"role":"assistant"})") +
         event_frame("contentBlockDelta",
                     R"({"contentBlockIndex":0,"delta":{"text":"Hello"},"p":"abcdef"})") +
         event_frame("contentBlockStop", R"({"contentBlockIndex":0})") +
         event_frame("messageStop", R"({"stopReason":"end_turn"})");
}

std::string usage() {
  return event_frame(
      "metadata",
      R"({"metrics":{"latencyMs":1},"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}})");
}

class Bedrock : public ::testing::Test {
 protected:
  Answer ask(ModelRequest request = {}) {
    if (request.model.empty()) request.model = "us.amazon.nova-2-lite-v1:0";
    if (request.context.empty()) request.context = {testing::user("Hi")};
    std::string base_url = upstream.base_url();
    base_url.resize(base_url.size() - 3);  // without /v1
    auto provider = make_bedrock_converse({"bedrock", base_url, kKey, timeouts}, *client, env);
    auto answer = boost::asio::co_spawn(
        context, provider->generate(std::move(request), &sink, source.token()),
        boost::asio::use_future);
    auto ready = [&] {
      return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    };
    while (!ready() && context.run_one_for(std::chrono::seconds(20)) > 0) {
    }
    EXPECT_TRUE(ready()) << "the call did not end";
    Answer got = answer.get();
    if (!got) {
      EXPECT_THAT(got.error().message, Not(HasSubstr("secret")));
    }
    return got;
  }

  boost::asio::io_context context;
  FakeEnv env;
  http::ClientTimeouts timeouts;
  std::unique_ptr<http::Client> client = http::make_client(context.get_executor(), {});
  testing::FakeUpstream upstream{context.get_executor()};
  RecordingSink sink;
  async::CancelSource source;
};

TEST_F(Bedrock, AsksConverseStreamAndStreamsTheAnswer) {
  upstream.answer(stream_answer(frames() + usage()));
  ModelRequest request;
  request.idempotency_key = "key-1";
  Answer answer = ask(request);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(sink.text(), "Hello");
  EXPECT_EQ(answer->items.at(0).text, "Hello");
  EXPECT_EQ(answer->usage.total(), 5);
  EXPECT_EQ(answer->response_id, "11112222-3333-4444");
  EXPECT_THAT(sink.response_ids, ::testing::ElementsAre("11112222-3333-4444"));
  const auto& got = upstream.received().at(0);
  EXPECT_THAT(got.head, HasSubstr("post /model/us.amazon.nova-2-lite-v1%3a0/converse-stream "));
  EXPECT_THAT(got.head, HasSubstr("authorization: bearer abskqmvk"));
  EXPECT_THAT(got.head, HasSubstr("accept: application/vnd.amazon.eventstream"));
  EXPECT_THAT(got.head, HasSubstr("content-type: application/json"));
  EXPECT_THAT(got.head, HasSubstr("x-perdure-hop: 1"));
  EXPECT_THAT(got.head, Not(HasSubstr("idempotency-key")));
  EXPECT_EQ(raw_member(got.body, "messages").value_or(""),
            R"([{"role":"user","content":[{"text":"Hi"},{"cachePoint":{"type":"default"}}]}])");
}

TEST_F(Bedrock, HasNoSayInHowLongPromptsStayCached) {
  auto provider =
      make_bedrock_converse({"bedrock", upstream.base_url(), kKey, timeouts}, *client, env);
  EXPECT_EQ(provider->capabilities().cache_minutes, 0) << "a session that asks for it is refused";
}

TEST_F(Bedrock, SucceedsWithoutUsageAndAlsoWhereTheEndIsMissing) {
  upstream.answer(stream_answer(frames()));
  Answer answer = ask();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_FALSE(answer->usage_known);

  // The stop reason has come: what breaks off after it is not needed.
  sink = {};
  upstream.answer(stream_answer(frames() + usage().substr(0, 30)));
  EXPECT_TRUE(ask());
}

TEST_F(Bedrock, DoesNotWaitForAConnectionThatStaysOpen) {
  upstream.answer(stream_answer(frames() + usage()), /*hold=*/true);
  Answer answer = ask();
  ASSERT_TRUE(answer) << answer.error().message;
}

TEST_F(Bedrock, ACutStreamMayBeTriedAgain) {
  std::string whole = frames();
  upstream.answer(stream_answer(whole.substr(0, whole.size() - 1)));
  Answer answer = ask();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "connection_failed");
  EXPECT_TRUE(answer.error().retryable);
}

TEST_F(Bedrock, RefusesAFrameThatWasChangedOnTheWay) {
  std::string whole = frames();
  whole[whole.size() / 2] = static_cast<char>(whole[whole.size() / 2] ^ 4);
  upstream.answer(stream_answer(whole));
  Answer answer = ask();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "server_error");
  EXPECT_TRUE(answer.error().retryable);
  EXPECT_THAT(answer.error().message, HasSubstr("checksum"));
}

TEST_F(Bedrock, MapsAnExceptionInTheStream) {
  upstream.answer(stream_answer(
      frames().substr(0, event_frame("messageStart", R"({"role":"assistant"})").size()) +
      testing::exception_frame("throttlingException", R"({"message":"Too many tokens"})")));
  Answer answer = ask();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "rate_limit_exceeded");
  EXPECT_TRUE(answer.error().retryable);
  EXPECT_THAT(answer.error().message, HasSubstr("Too many tokens"));
}

TEST_F(Bedrock, MapsErrorsThatComeInsteadOfAStream) {
  struct Case {
    int status;
    const char* type;
    const char* message;
    const char* code;
    bool retryable;
  };
  for (const Case& each :
       {Case{429, "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
             "Too many requests", "rate_limit_exceeded", true},
        Case{400, "ServiceQuotaExceededException", "x", "usage_limit_exceeded", false},
        Case{429, "ModelNotReadyException", "x", "server_overloaded", true},
        Case{400, "ValidationException", "Malformed input request", "invalid_request", false},
        Case{400, "ValidationException", "Input is too long for requested model.",
             "context_length_exceeded", false},
        Case{403, "AccessDeniedException", "You don't have access to the model",
             "authentication_error", false},
        Case{403, "UnrecognizedClientException", "The security token is invalid",
             "authentication_error", false},
        Case{404, "ResourceNotFoundException", "x", "resource_not_found", false},
        Case{408, "ModelTimeoutException", "x", "request_timeout", true},
        Case{424, "ModelErrorException", "x", "server_error", true},
        Case{500, "InternalServerException", "x", "server_error", true},
        Case{503, "ServiceUnavailableException", "x", "server_overloaded", true}}) {
    upstream.answer(
        http_answer(each.status, "application/json",
                    std::string(R"({"message":")") + each.message + " with " + kKey + "\"}",
                    std::string("x-amzn-ErrorType: ") + each.type + "\r\n"));
    Answer answer = ask();
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, each.code) << each.type;
    EXPECT_EQ(answer.error().retryable, each.retryable) << each.type;
  }
}

TEST_F(Bedrock, SaysWhichModelTheKeyMayNotUse) {
  upstream.answer(http_answer(403, "application/json",
                              R"({"message":"You don't have access to the model x."})",
                              "x-amzn-ErrorType: AccessDeniedException\r\n"));
  EXPECT_THAT(ask().error().message, HasSubstr("You don't have access to the model x"));
}

TEST_F(Bedrock, RefusesAnAnswerThatIsNoStream) {
  upstream.answer(http_answer(200, "application/json", R"({"output":{"message":{}}})"));
  Answer json = ask();
  ASSERT_FALSE(json);
  EXPECT_THAT(json.error().message, HasSubstr("not an event stream"));
  upstream.answer(http_answer(200, "text/html", "<html>a page of some proxy</html>"));
  Answer html = ask();
  ASSERT_FALSE(html);
  EXPECT_THAT(html.error().message, HasSubstr("not an event stream"));
}

TEST_F(Bedrock, SilenceInTheStreamIsATimeout) {
  timeouts.idle_ms = 20;
  upstream.answer(stream_answer(event_frame("messageStart", "{}")), /*hold=*/true);
  Answer answer = ask();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "request_timeout");
}

TEST_F(Bedrock, ACancelInTheStreamClosesTheConnection) {
  upstream.answer(stream_answer(frames()), /*hold=*/true);
  sink.after_text = [&] { source.cancel(); };
  Answer answer = ask();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, kCancelledCode);
  while (upstream.closed_by_peer() == 0 && context.run_one_for(std::chrono::seconds(20)) > 0) {
  }
  EXPECT_EQ(upstream.closed_by_peer(), 1);
}

TEST_F(Bedrock, RefusesARequestItCannotSayWithoutSending) {
  ModelRequest request;
  request.context = {UserMessage{{ContentPart::image("https://example.com/a.png")}}};
  Answer answer = ask(request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "invalid_request");
  EXPECT_FALSE(answer.error().retryable);
  EXPECT_TRUE(upstream.received().empty());
}

TEST_F(Bedrock, SaysWhatItHasWordsFor) {
  auto provider = make_bedrock_converse({"b", "https://x", "", {}}, *client, env);
  EXPECT_EQ(provider->kind(), "bedrock-converse");
  Capabilities can = provider->capabilities();
  EXPECT_TRUE(can.images && can.service_tier);
  EXPECT_FALSE(can.remote_images || can.verbosity || can.reasoning_summary);
}

TEST(BedrockUrl, NamesTheRegionsEndpoint) {
  EXPECT_EQ(bedrock_base_url("eu-north-1").value(),
            "https://bedrock-runtime.eu-north-1.amazonaws.com");
  EXPECT_EQ(bedrock_base_url("cn-north-1").value(),
            "https://bedrock-runtime.cn-north-1.amazonaws.com.cn");
  for (const char* bad : {"", "us-east-1.evil.example/", "us east", "US-EAST-1"})
    EXPECT_FALSE(bedrock_base_url(bad)) << bad;
}

}  // namespace
}  // namespace perdure::models
