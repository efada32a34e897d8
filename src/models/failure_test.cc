#include "models/failure.h"

#include <gtest/gtest.h>

#include "models/limits.h"

namespace perdure::models {
namespace {

constexpr UnixMillis kNow = 1'800'000'000'000;  // Fri, 15 Jan 2027 08:00:00 GMT
const FailureMapper kMapper("acme", "top-secret-value");

http::Headers headers(std::initializer_list<std::pair<const char*, const char*>> fields) {
  http::Headers out;
  for (auto [name, value] : fields) out.add(name, value);
  return out;
}

struct Case {
  int status;
  const char* body;
  const char* code;
  bool retryable;
};

TEST(Failure, FindsTheNameInWhatAwsWrites) {
  for (const char* type : {"ThrottlingException", "throttlingException",
                           "ThrottlingException:http://internal.amazon.com/coral/",
                           "com.amazon.coral.service#ThrottlingException"})
    EXPECT_EQ(aws_error_name(type), "ThrottlingException") << type;
  EXPECT_EQ(aws_error_name(""), "");
}

TEST(Failure, BlotsOutBedrockKeysOfOthers) {
  http::Headers none;
  ModelFailure failure = kMapper.from_status(
      400, none, R"({"message":"bad ABSKQmVkcm9j+a/b== and bedrock-api-key-YmVk/cm9j."})", kNow);
  EXPECT_EQ(failure.message.find("Qm"), std::string::npos) << failure.message;
  EXPECT_EQ(failure.message.find("a/b"), std::string::npos) << failure.message;
  EXPECT_EQ(failure.message.find("cm9j"), std::string::npos) << failure.message;
}

TEST(Failure, MapsStatusAndBodyToATurnErrorCode) {
  const Case cases[] = {
      {400, R"({"error":{"code":"context_length_exceeded","type":"invalid_request_error"}})",
       "context_length_exceeded", false},
      {400, R"({"error":{"code":400,"type":"exceed_context_size_error","message":"x"}})",
       "context_length_exceeded", false},
      {400,
       R"({"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400})",
       "context_length_exceeded", false},
      {400, R"({"error":{"type":"invalid_request_error","message":"Unknown parameter"}})",
       "invalid_request", false},
      {422, R"({"detail":"bad"})", "invalid_request", false},
      {401, R"({"error":{"code":"invalid_api_key"}})", "authentication_error", false},
      {401, "", "authentication_error", false},
      {403, "<html>", "authentication_error", false},
      {402, "", "credit_balance_exhausted", false},
      {404, R"({"error":{"type":"invalid_request_error","code":"model_not_found"}})",
       "resource_not_found", false},
      {404, R"({"error":{"type":"invalid_request_error","code":null,"message":"x"}})",
       "resource_not_found", false},
      {408, "", "request_timeout", true},
      {409, "", "server_error", true},
      {429, R"({"error":{"type":"tokens","code":"rate_limit_exceeded"}})", "rate_limit_exceeded",
       true},
      {429, R"({"error":{"type":"insufficient_quota","code":"insufficient_quota"}})",
       "usage_limit_exceeded", false},
      {429, R"({"error":{"code":"billing_not_active"}})", "billing_not_active", false},
      {429, R"({"error":{"code":"organization_spend_limit_exceeded"}})",
       "organization_spend_limit_exceeded", false},
      {429, R"({"error":{"code":"project_spend_limit_exceeded"}})", "project_spend_limit_exceeded",
       false},
      {429, R"({"error":{"code":"resource_unavailable"}})", "flex_unavailable", true},
      {429, "slow down", "rate_limit_exceeded", true},
      {400, R"({"error":{"code":"cyber_policy"}})", "cyber_policy", false},
      {400, R"({"error":{"code":"misalignment_policy_violation"}})",
       "misalignment_policy_violation", false},
      {500, R"({"error":{"type":"server_error"}})", "server_error", true},
      {501, "", "server_error", false},
      {502, "<html>", "server_error", true},
      {503, R"({"error":{"message":"Loading model","type":"unavailable_error","code":503}})",
       "server_overloaded", true},
      {504, "", "request_timeout", true},
      {529, R"({"type":"error","error":{"type":"overloaded_error"}})", "server_overloaded", true},
      {302, "", "server_error", false},
  };
  for (const Case& c : cases) {
    ModelFailure failure = kMapper.from_status(c.status, {}, c.body, kNow);
    EXPECT_EQ(failure.code, c.code) << c.status << " " << c.body;
    EXPECT_EQ(failure.retryable, c.retryable) << c.status << " " << c.body;
    EXPECT_NE(failure.message.find("'acme'"), std::string::npos);
    EXPECT_TRUE(failure.message.ends_with('.')) << failure.message;
  }
}

TEST(Failure, QuotesWhatUpstreamSaid) {
  EXPECT_EQ(kMapper.from_status(400, {}, R"({"error":{"message":"No such tool."}})", kNow).message,
            "The model provider 'acme' answered HTTP 400: No such tool.");
}

TEST(Failure, NeverShowsAKey) {
  std::string bodies[] = {
      R"({"error":{"message":"Incorrect API key provided: sk-abc12345***wxyz."}})",
      R"({"error":{"message":"header was 'Bearer abcdef.123456' here"}})",
      R"({"error":{"message":"you sent top-secret-value and top-secret-value"}})"};
  for (const std::string& body : bodies)
    for (int status : {400, 401, 500}) {
      std::string message = kMapper.from_status(status, {}, body, kNow).message;
      for (const char* secret : {"abc12345", "wxyz", "abcdef", "123456", "top-secret"})
        EXPECT_EQ(message.find(secret), std::string::npos) << message;
    }
  Error transport{ErrorCode::kUpstream, "http://u:top-secret-value@h is down", {}, {}};
  EXPECT_EQ(kMapper.from_transport(transport).message.find("top-secret"), std::string::npos);
}

TEST(Failure, LeavesOrdinaryWordsAlone) {
  FailureMapper placeholder("ollama", "ollama");
  ModelFailure failure =
      placeholder.from_status(404, {}, R"({"error":"ollama has no risk-averse model"})", kNow);
  EXPECT_NE(failure.message.find("ollama has no risk-averse model"), std::string::npos)
      << failure.message;
}

TEST(Failure, BoundsWhatItQuotes) {
  std::string body = R"({"error":{"message":")" + std::string(50'000, 'x') + R"("}})";
  EXPECT_LT(kMapper.from_status(400, {}, body, kNow).message.size(), kMaxErrorMessageBytes + 200);
  std::string parrots;
  for (int i = 0; i < 1000; ++i) parrots += "🦜";
  std::string message = kMapper.from_error(json::value(json::string(parrots))).message;
  EXPECT_LT(message.size(), kMaxErrorMessageBytes + 200);
}

TEST(Failure, ReadsHowLongToWait) {
  EXPECT_EQ(retry_after_ms(headers({{"retry-after", "2"}}), kNow), 2000);
  EXPECT_EQ(retry_after_ms(headers({{"Retry-After", "0.5"}}), kNow), 500);
  EXPECT_EQ(retry_after_ms(headers({{"retry-after-ms", "1500"}, {"retry-after", "9"}}), kNow),
            1500);
  EXPECT_EQ(retry_after_ms(headers({{"retry-after", "Fri, 15 Jan 2027 08:00:30 GMT"}}), kNow),
            30'000);
  EXPECT_EQ(retry_after_ms(headers({{"date", "Sun, 06 Nov 1994 08:49:30 GMT"},
                                    {"retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"}}),
                           kNow),
            7000)
      << "counted by the clock of the one who wrote the date";
}

TEST(Failure, IgnoresAWaitThatMakesNoSense) {
  for (const char* value : {"", "soon", "-5", "nan", "inf", "1e", "Fri, 99 Xxx 2027 08:00:30 GMT"})
    EXPECT_EQ(retry_after_ms(headers({{"retry-after", value}}), kNow), 0) << value;
  EXPECT_EQ(retry_after_ms(headers({{"retry-after", "Fri, 15 Jan 2027 07:00:00 GMT"}}), kNow), 0);
  EXPECT_EQ(retry_after_ms(headers({{"retry-after", "999999999999"}}), kNow), kMaxRetryAfterMs);
  EXPECT_EQ(retry_after_ms({}, kNow), 0);
}

TEST(Failure, OnlyARetryableFailureSaysWhen) {
  auto wait = headers({{"retry-after", "3"}});
  EXPECT_EQ(kMapper.from_status(429, wait, "", kNow).retry_after_ms, 3000);
  EXPECT_EQ(kMapper.from_status(400, wait, "", kNow).retry_after_ms, 0);
}

TEST(Failure, MapsTheConnectionsErrors) {
  auto code = [](ErrorCode error) { return kMapper.from_transport({error, "x", {}, {}}).code; };
  EXPECT_EQ(code(ErrorCode::kUpstream), "connection_failed");
  EXPECT_EQ(code(ErrorCode::kDeadlineExceeded), "request_timeout");
  EXPECT_EQ(code(ErrorCode::kInvalidArgument), "invalid_request");
  EXPECT_EQ(code(ErrorCode::kCancelled), kCancelledCode);
  EXPECT_TRUE(kMapper.from_transport({ErrorCode::kUpstream, "x", {}, {}}).retryable);
  EXPECT_FALSE(kMapper.from_transport({ErrorCode::kInvalidArgument, "x", {}, {}}).retryable);
}

}  // namespace
}  // namespace perdure::models
