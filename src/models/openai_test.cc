// The HTTP providers against a server on loopback.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "http/client.h"
#include "models/failure.h"
#include "models/fake_upstream.h"
#include "models/limits.h"
#include "models/openai_chat.h"
#include "models/openai_responses.h"
#include "models/testing.h"

namespace perdure::models {
namespace {

using testing::Answer;
using ::testing::HasSubstr;
using testing::http_answer;
using ::testing::Not;
using testing::RecordingSink;
using testing::sse_answer;

constexpr std::string_view kChunk =
    R"(data: {"id":"chatcmpl-1","model":"m","choices":[{"index":0,"delta":{"content":"Hello"}}]})"
    "\n\n";
constexpr std::string_view kEnd =
    R"(data: {"id":"chatcmpl-1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"
    "\n\ndata: [DONE]\n\n";

class OpenAi : public ::testing::Test {
 protected:
  std::unique_ptr<Provider> chat(std::string key = "sk-test-key") {
    return make_openai_chat({"up", upstream.base_url(), std::move(key), timeouts}, *client, env);
  }
  std::unique_ptr<Provider> responses() {
    return make_openai_responses({"up", upstream.base_url(), "sk-test-key", timeouts}, *client,
                                 env);
  }

  Answer ask(Provider& provider, ModelRequest request = {}) {
    auto answer =
        boost::asio::co_spawn(context, provider.generate(std::move(request), &sink, source.token()),
                              boost::asio::use_future);
    run_until(
        [&] { return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
    return answer.get();
  }

  template <class Done>
  void run_until(Done done) {
    while (!done() && context.run_one_for(std::chrono::seconds(20)) > 0) {
    }
    ASSERT_TRUE(done()) << "the call did not end";
  }

  boost::asio::io_context context;
  FakeEnv env;
  http::ClientTimeouts timeouts;
  std::unique_ptr<http::Client> client = http::make_client(context.get_executor(), {});
  testing::FakeUpstream upstream{context.get_executor()};
  RecordingSink sink;
  async::CancelSource source;
};

TEST_F(OpenAi, AsksChatCompletionsAndStreamsTheAnswer) {
  upstream.answer(sse_answer(std::string(kChunk) + std::string(kEnd)));
  ModelRequest request;
  request.model = "m";
  request.idempotency_key = "key-1";
  Answer answer = ask(*chat(), request);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(sink.text(), "Hello");
  EXPECT_EQ(answer->items.at(0).text, "Hello");
  const auto& got = upstream.received().at(0);
  EXPECT_THAT(got.head, HasSubstr("post /v1/chat/completions "));
  EXPECT_THAT(got.head, HasSubstr("authorization: bearer sk-test-key"));
  EXPECT_THAT(got.head, HasSubstr("x-perdure-hop: 1"));
  EXPECT_THAT(got.head, HasSubstr("idempotency-key: key-1"));
  EXPECT_THAT(got.head, HasSubstr("content-type: application/json"));
  EXPECT_THAT(got.body, HasSubstr(R"("model":"m")"));
}

TEST_F(OpenAi, SendsNoAuthorizationWithoutAKey) {
  upstream.answer(sse_answer(kEnd));
  ASSERT_TRUE(ask(*chat("")));
  EXPECT_THAT(upstream.received().at(0).head, Not(HasSubstr("authorization")));
  EXPECT_THAT(upstream.received().at(0).head, Not(HasSubstr("idempotency-key")));
}

TEST_F(OpenAi, AsksResponsesAndKeepsItsItems) {
  upstream.answer(sse_answer(testing::read_testdata("responses_reasoning_message_calls.sse")));
  Answer answer = ask(*responses());
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->items.size(), 4u);
  EXPECT_THAT(upstream.received().at(0).head, HasSubstr("post /v1/responses "));
  EXPECT_THAT(upstream.received().at(0).head, HasSubstr("x-perdure-hop: 1"));

  // What came is what the next request says.
  ModelRequest next;
  for (OutputItem& item : answer->items) next.context.emplace_back(item);
  upstream.answer(sse_answer(testing::read_testdata("responses_refusal.sse")));
  sink = {};
  ASSERT_TRUE(ask(*responses(), next));
  for (const OutputItem& item : answer->items)
    EXPECT_THAT(upstream.received().at(1).body, HasSubstr(item.raw));
}

TEST_F(OpenAi, UnderstandsAServerThatDoesNotStream) {
  upstream.answer(http_answer(
      200, "application/json",
      R"({"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}})"));
  Answer chat_answer = ask(*chat());
  ASSERT_TRUE(chat_answer) << chat_answer.error().message;
  EXPECT_EQ(chat_answer->items.at(0).text, "Hi");
  EXPECT_EQ(chat_answer->usage.input_tokens, 3);

  sink = {};
  upstream.answer(http_answer(
      200, "application/json",
      R"({"id":"r","object":"response","status":"completed","model":"m","output":[{"type":"message","id":"x","content":[{"type":"output_text","text":"Ho"}]}]})"));
  Answer answer = ask(*responses());
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->items.at(0).text, "Ho");
}

TEST_F(OpenAi, BelievesNoCountThatWouldOverflowASum) {
  upstream.answer(http_answer(
      200, "application/json",
      R"({"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9000000000000000000,"completion_tokens":-5}})"));
  Answer answer = ask(*chat());
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->usage.input_tokens, kMaxToldTokens);
  EXPECT_EQ(answer->usage.output_tokens, 0);
  upstream.answer(http_answer(
      200, "application/json",
      R"({"id":"r","object":"response","status":"completed","model":"m","output":[],"usage":{"input_tokens":-1,"output_tokens":9000000000000000000}})"));
  answer = ask(*responses());
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->usage.input_tokens, 0);
  EXPECT_EQ(answer->usage.output_tokens, kMaxToldTokens);
}

TEST_F(OpenAi, TellsAnHttpErrorWithTheTimeToWait) {
  upstream.answer(http_answer(429, "application/json",
                              R"({"error":{"code":"rate_limit_exceeded","message":"Slow."}})",
                              "Retry-After: 7\r\n"));
  Answer answer = ask(*chat());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "rate_limit_exceeded");
  EXPECT_TRUE(answer.error().retryable);
  EXPECT_EQ(answer.error().retry_after_ms, 7000);
}

TEST_F(OpenAi, ReadsNoMoreOfAnErrorThanItMust) {
  upstream.answer("HTTP/1.1 500 X\r\nContent-Length: 100000000\r\n\r\n" +
                      std::string(kMaxErrorBodyBytes + 10'000, 'x'),
                  /*hold=*/true);
  Answer answer = ask(*chat());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "server_error");
}

TEST_F(OpenAi, ACutStreamMayBeTriedAgain) {
  upstream.answer(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\ndat");
  Answer answer = ask(*chat());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "connection_failed");
  EXPECT_TRUE(answer.error().retryable);
}

TEST_F(OpenAi, AServerThatIsNotThereMayBeTriedAgain) {
  std::string nobody;
  {
    testing::FakeUpstream gone(context.get_executor());
    nobody = gone.base_url();
  }
  auto provider = make_openai_chat({"up", nobody, "sk-test-key", {}}, *client, env);
  Answer answer = ask(*provider);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "connection_failed");
  EXPECT_TRUE(answer.error().retryable);
}

TEST_F(OpenAi, SilenceInTheStreamIsATimeout) {
  timeouts.idle_ms = 20;
  upstream.answer(sse_answer(kChunk), /*hold=*/true);
  Answer answer = ask(*chat());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "request_timeout");
  EXPECT_TRUE(answer.error().retryable);
}

TEST_F(OpenAi, ACancelInTheStreamClosesTheConnection) {
  upstream.answer(sse_answer(kChunk), /*hold=*/true);
  sink.after_text = [&] { source.cancel(); };
  Answer answer = ask(*chat());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, kCancelledCode);
  EXPECT_FALSE(answer.error().retryable);
  run_until([&] { return upstream.closed_by_peer() == 1; });
}

TEST_F(OpenAi, ACancelWhileReadingClosesTheConnection) {
  upstream.answer(sse_answer(kChunk), /*hold=*/true);
  auto provider = chat();
  auto answer = boost::asio::co_spawn(context, provider->generate({}, &sink, source.token()),
                                      boost::asio::use_future);
  run_until([&] { return !sink.deltas.empty(); });
  source.cancel();
  run_until([&] { return upstream.closed_by_peer() == 1; });
  run_until([&] { return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
  EXPECT_EQ(answer.get().error().code, kCancelledCode);
}

TEST_F(OpenAi, ACancelBeforeTheAnswerBeginsClosesTheConnection) {
  upstream.answer("", /*hold=*/true);
  auto provider = responses();
  auto answer = boost::asio::co_spawn(context, provider->generate({}, &sink, source.token()),
                                      boost::asio::use_future);
  run_until([&] { return !upstream.received().empty(); });
  source.cancel();
  run_until([&] { return upstream.closed_by_peer() == 1; });
  run_until([&] { return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
  EXPECT_EQ(answer.get().error().code, kCancelledCode);
}

TEST_F(OpenAi, ACancelledTurnAsksNothing) {
  source.cancel();
  Answer answer = ask(*chat());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, kCancelledCode);
  EXPECT_TRUE(upstream.received().empty());
}

TEST_F(OpenAi, AServerThatKeepsTheStreamOpenDoesNotHoldUpTheAnswer) {
  upstream.answer(sse_answer(std::string(kChunk) + std::string(kEnd)), /*hold=*/true);
  Answer answer = ask(*chat());
  ASSERT_TRUE(answer) << answer.error().message;
  run_until([&] { return upstream.closed_by_peer() == 1; });
}

TEST_F(OpenAi, RefusesARequestItCannotSayWithoutSending) {
  ModelRequest request;
  request.tool_choice = "nobody";
  for (Provider* provider : {chat().release(), responses().release()}) {
    std::unique_ptr<Provider> owned(provider);
    Answer answer = ask(*owned, request);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, "invalid_request");
    EXPECT_FALSE(answer.error().retryable);
  }
  EXPECT_TRUE(upstream.received().empty());
}

TEST_F(OpenAi, SaysWhatItHasWordsFor) {
  Capabilities can = chat()->capabilities();
  EXPECT_TRUE(can.images && can.remote_images);
  EXPECT_FALSE(can.reasoning_summary) << "a session that asks for one is refused";
  EXPECT_FALSE(can.verbosity || can.service_tier) << "only OpenAI's own server has these";
  can = make_openai_chat({"o", "https://api.openai.com/v1", "", timeouts}, *client, env)
            ->capabilities();
  EXPECT_TRUE(can.verbosity && can.service_tier);
  EXPECT_EQ(can.cache_minutes, 30);
  EXPECT_FALSE(can.reasoning_summary);
  can = responses()->capabilities();
  EXPECT_TRUE(can.reasoning_summary && can.verbosity && can.images && can.remote_images);
  EXPECT_FALSE(can.service_tier);
  EXPECT_EQ(can.cache_minutes, 0);
  can = make_openai_responses({"o", "https://api.openai.com/v1", "", timeouts}, *client, env)
            ->capabilities();
  EXPECT_EQ(can.cache_minutes, 12 * 60);
}

TEST(Endpoint, KnowsOpenAisOwnHosts) {
  for (const char* url : {"https://api.openai.com/v1", "https://eu.api.openai.com/v1",
                          "https://x.openai.azure.com/openai/v1", "https://API.OpenAI.com/v1"})
    EXPECT_TRUE(is_openai_host(url)) << url;
  for (const char* url :
       {"http://127.0.0.1:8000/v1", "https://openai.com.evil.example/v1",
        "https://notopenai.com/v1", "https://example.com/api.openai.com", "", "x"})
    EXPECT_FALSE(is_openai_host(url)) << url;
  EXPECT_EQ(join_url("http://h/v1/", "models"), "http://h/v1/models");
}

}  // namespace
}  // namespace perdure::models
