// The provider of Anthropic's Messages API against a server on loopback.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "base/raw_json.h"
#include "http/client.h"
#include "models/anthropic_messages.h"
#include "models/anthropic_names.h"
#include "models/anthropic_request.h"
#include "models/fake_upstream.h"
#include "models/testing.h"

namespace perdure::models {
namespace {

using testing::Answer;
using ::testing::HasSubstr;
using testing::http_answer;
using ::testing::Not;
using testing::RecordingSink;
using testing::sse_answer;
using testing::user;

constexpr const char* kKey = "sk-ant-api03-topsecret";

class Anthropic : public ::testing::Test {
 protected:
  Answer ask(ModelRequest request = {}) {
    auto provider = make_anthropic_messages({"up", base_url, key, {}}, *client, env);
    sink = {};
    auto answer = boost::asio::co_spawn(
        context, provider->generate(std::move(request), &sink, source.token()),
        boost::asio::use_future);
    auto ready = [&] {
      return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    };
    while (!ready() && context.run_one_for(std::chrono::seconds(20)) > 0) {
    }
    EXPECT_TRUE(ready()) << "the call did not end";
    return answer.get();
  }

  const testing::FakeUpstream::Received& received() { return upstream.received().back(); }

  boost::asio::io_context context;
  FakeEnv env;
  std::unique_ptr<http::Client> client = http::make_client(context.get_executor(), {});
  testing::FakeUpstream upstream{context.get_executor()};
  std::string base_url = upstream.base_url();
  std::string key = kKey;
  RecordingSink sink;
  async::CancelSource source;
};

TEST_F(Anthropic, AsksWithItsOwnHeadersAndStreamsTheAnswer) {
  upstream.answer(sse_answer(testing::read_testdata("anthropic_text.sse")));
  ModelRequest request;
  request.model = "claude-opus-5";
  request.idempotency_key = "key-1";
  request.context = {user("hello")};
  Answer answer = ask(request);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(sink.text(), "Hi été 🦜");
  EXPECT_EQ(answer->items.at(0).text, "Hi été 🦜");
  EXPECT_EQ(answer->model, "claude-opus-5");
  EXPECT_EQ(answer->response_id, "msg_01A");
  EXPECT_EQ(answer->usage.input_tokens, 2125);
  EXPECT_EQ(answer->usage.cached_tokens, 2000);
  EXPECT_EQ(answer->usage.cache_write_tokens, 100);
  EXPECT_THAT(received().head, HasSubstr("post /v1/messages "));
  EXPECT_THAT(received().head, HasSubstr("x-api-key: sk-ant-api03-topsecret"));
  EXPECT_THAT(received().head, HasSubstr("anthropic-version: 2023-06-01"));
  EXPECT_THAT(received().head, HasSubstr("idempotency-key: key-1"));
  EXPECT_THAT(received().head, HasSubstr("x-perdure-hop: 1"));
  EXPECT_THAT(received().head, Not(HasSubstr("authorization")));
  EXPECT_THAT(received().body, HasSubstr(R"("model":"claude-opus-5")"));
}

TEST_F(Anthropic, FindsTheServerWithAndWithoutAVersionInItsUrl) {
  key.clear();
  std::string root = base_url.substr(0, base_url.size() - std::string("/v1").size());
  for (const std::string& url : {root, root + "/", root + "/v1", root + "/v1//"}) {
    upstream.answer(sse_answer(testing::read_testdata("anthropic_text.sse")));
    base_url = url;
    ASSERT_TRUE(ask()) << url;
    EXPECT_THAT(received().head, HasSubstr("post /v1/messages ")) << url;
    EXPECT_THAT(received().head, Not(HasSubstr("x-api-key")));
  }
  EXPECT_EQ(anthropic_messages_url("https://h/anthropic"), "https://h/anthropic/v1/messages");
}

TEST_F(Anthropic, WhatTheModelThoughtSaidAndCalledIsWhatTheNextRequestSays) {
  upstream.answer(sse_answer(testing::read_testdata("anthropic_thinking_text_calls.sse")));
  ModelRequest request;
  request.tools = {{"files.read", "", ""}, {"plain", "", ""}};
  request.context = {user("go")};
  Answer answer = ask(request);
  ASSERT_TRUE(answer) << answer.error().message;
  ASSERT_EQ(answer->items.size(), 5u);
  EXPECT_EQ(answer->finish, Finish::kToolCalls);
  EXPECT_EQ(answer->items[4].name, "files.read");
  EXPECT_EQ(answer->usage.reasoning_tokens, 31);

  for (const OutputItem& item : answer->items) request.context.emplace_back(item);
  request.context.emplace_back(FunctionOutput{"toolu_01", "one"});
  request.context.emplace_back(FunctionOutput{"toolu_02", "two"});
  upstream.answer(sse_answer(testing::read_testdata("anthropic_text.sse")));
  ASSERT_TRUE(ask(request));
  EXPECT_THAT(
      received().body,
      HasSubstr(
          R"({"role":"assistant","content":[{"type":"thinking","thinking":"Let me see: \"x\"\n\\",)"
          R"("signature":"EqQBCgIYAhIk/+=="},)"
          R"({"type":"redacted_thinking","data":"EmwKAhgBEgy3va3pzix/LafPsn4a"},)"
          R"({"type":"text","text":"I read both."},)"
          R"({"type":"tool_use","id":"toolu_01","name":"plain","input":{"n": 1.0}},)"
          R"({"type":"tool_use","id":"toolu_02","name":")" +
          anthropic_tool_name("files.read") +
          R"(","input":{}}]},)"
          R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_01",)"));
}

TEST_F(Anthropic, BlocksOfServerToolsGoBackWhereTheyCameFrom) {
  upstream.answer(sse_answer(testing::read_testdata("anthropic_server_tools_and_citations.sse")));
  Answer answer = ask();
  ASSERT_TRUE(answer) << answer.error().message;
  ModelRequest request;
  for (const OutputItem& item : answer->items) request.context.emplace_back(item);
  upstream.answer(sse_answer(testing::read_testdata("anthropic_text.sse")));
  ASSERT_TRUE(ask(request));
  std::string body = received().body;
  std::string_view assistant = *RawArrayReader(*raw_member(body, "messages")).next();
  RawArrayReader blocks(*raw_member(assistant, "content"));
  EXPECT_EQ(raw_member(*blocks.next(), "input"), R"({"query": "x"})");
  EXPECT_THAT(std::string(*blocks.next()), HasSubstr(R"("encrypted_content":"Eo8=")"));
  EXPECT_THAT(std::string(*blocks.next()),
              HasSubstr(R"("text":"It is so.","citations":[{"type":"web_search_result_location")"));
  EXPECT_EQ(*blocks.next(), R"({"type":"text","text":" Really."})");
  EXPECT_THAT(std::string(*blocks.next()), HasSubstr(R"("caller":{"type":"code_execution)"));
}

TEST_F(Anthropic, UnderstandsAServerThatDoesNotStream) {
  upstream.answer(http_answer(
      200, "application/json",
      R"({"id":"msg_1","type":"message","role":"assistant","model":"m","content":[)"
      R"({"type":"thinking","thinking":"hm","signature":"Eq=="},{"type":"text","text":"Hi"},)"
      R"({"type":"tool_use","id":"t","name":"a","input":{"n":1.0}}],"stop_reason":"tool_use",)"
      R"("usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}})"));
  Answer answer = ask();
  ASSERT_TRUE(answer) << answer.error().message;
  ASSERT_EQ(answer->items.size(), 3u);
  EXPECT_EQ(answer->items[0].raw, R"({"type":"thinking","thinking":"hm","signature":"Eq=="})");
  EXPECT_EQ(answer->items[2].arguments, R"({"n":1.0})");
  EXPECT_EQ(answer->usage.input_tokens, 7);
  EXPECT_EQ(answer->finish, Finish::kToolCalls);
  EXPECT_EQ(sink.text(), "Hi");
}

struct Refused {
  int status;
  const char* body;
  const char* code;
  bool retryable;
};

TEST_F(Anthropic, TellsItsErrorsAsTurnErrorsAndNeverAKey) {
  const Refused cases[] = {
      {529, R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})",
       "server_overloaded", true},
      {500, R"({"type":"error","error":{"type":"api_error","message":"Internal server error"}})",
       "server_error", true},
      {504, R"({"type":"error","error":{"type":"timeout_error","message":"x"}})", "request_timeout",
       true},
      {429, R"({"type":"error","error":{"type":"rate_limit_error","message":"x"}})",
       "rate_limit_exceeded", true},
      {413, R"({"type":"error","error":{"type":"request_too_large","message":"x"}})",
       "context_length_exceeded", false},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}})",
       "context_length_exceeded", false},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"}})",
       "context_length_exceeded", false},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}})",
       "credit_balance_exhausted", false},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits."}})",
       "usage_limit_exceeded", false},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: sk-ant-api03-topsecret is odd"}})",
       "invalid_request", false},
      {402, R"({"type":"error","error":{"type":"billing_error","message":"x"}})",
       "billing_not_active", false},
      {401,
       R"({"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key sk-ant-api03-topsecret"}})",
       "authentication_error", false},
      {403, R"({"type":"error","error":{"type":"permission_error","message":"x"}})",
       "authentication_error", false},
      {404, R"({"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}})",
       "resource_not_found", false},
  };
  for (const Refused& c : cases) {
    upstream.answer(http_answer(c.status, "application/json", c.body, "Retry-After: 7\r\n"));
    Answer answer = ask();
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, c.code) << c.body;
    EXPECT_EQ(answer.error().retryable, c.retryable) << c.body;
    EXPECT_EQ(answer.error().retry_after_ms, c.retryable ? 7000 : 0) << c.body;
    EXPECT_THAT(answer.error().message, Not(HasSubstr("topsecret")));
  }
}

TEST_F(Anthropic, AFailedAttemptTellsWhatItCost) {
  upstream.answer(sse_answer(testing::read_testdata("anthropic_cut_off.sse")));
  Answer answer = ask();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "connection_failed");
  EXPECT_TRUE(answer.error().retryable);
  EXPECT_TRUE(answer.error().usage_known);
  EXPECT_EQ(answer.error().usage.input_tokens, 2125);
}

TEST_F(Anthropic, RefusesARequestItCannotSayWithoutSending) {
  ModelRequest request;
  request.context = {UserMessage{{ContentPart::image("file:///etc/passwd")}}};
  Answer answer = ask(request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "invalid_request");
  EXPECT_FALSE(answer.error().retryable);
  EXPECT_TRUE(upstream.received().empty());
}

TEST_F(Anthropic, SaysWhatItCanDo) {
  auto provider = make_anthropic_messages({"up", base_url, "", {}}, *client, env);
  EXPECT_EQ(provider->kind(), "anthropic-messages");
  EXPECT_EQ(provider->name(), "up");
  Capabilities can = provider->capabilities();
  EXPECT_TRUE(can.images && can.remote_images && can.reasoning_summary);
  EXPECT_FALSE(can.verbosity || can.service_tier);
  EXPECT_EQ(can.cache_minutes, 60);
}

}  // namespace
}  // namespace perdure::models
