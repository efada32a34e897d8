// For tests of the MCP client: an HTTP client without a network, whose answers a test decides.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "http/client.h"

namespace perdure::tools::testing {

struct Answer {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  std::string session_id;
  bool breaks_off = false;             ///< behind the body
  std::optional<ErrorCode> no_answer;  ///< instead
  std::string reason;                  ///< of that
};

class FakeResponse final : public http::ClientResponse {
 public:
  explicit FakeResponse(Answer answer) : answer_(std::move(answer)) {
    headers_.add("Content-Type", answer_.type);
    if (!answer_.session_id.empty()) headers_.add("Mcp-Session-Id", answer_.session_id);
  }
  int status() const override { return answer_.status; }
  const http::Headers& headers() const override { return headers_; }
  http::Task<Result<std::optional<std::string>>> read() override {
    if (!answer_.body.empty()) co_return std::exchange(answer_.body, {});
    if (answer_.breaks_off) co_return fail(ErrorCode::kUpstream, "cut");
    co_return std::nullopt;
  }
  void cancel() override {}

 private:
  Answer answer_;
  http::Headers headers_;
};

/// A server: answers each request by what `respond` says, and remembers it.
class FakeHttp final : public http::Client {
 public:
  struct Received {
    http::ClientRequest request;
    json::value body;

    std::string method() const { return std::string(get_string(body.get_object(), "method")); }
    std::string id() const {
      const json::value* id = find(body.get_object(), "id");
      return id ? perdure::serialize(*id) : "";
    }
    std::string field(std::string_view name) const {
      return std::string(request.headers.get(name).value_or("-"));
    }
  };

  std::function<Answer(const Received&)> respond;
  std::vector<Received> received;

  http::Task<Result<std::unique_ptr<http::ClientResponse>>> send(
      http::ClientRequest request) override {
    auto body = parse_json(request.body);
    received.push_back({std::move(request), body ? std::move(*body) : json::value()});
    Answer answer = respond(received.back());
    if (answer.no_answer) co_return fail(*answer.no_answer, "no", {}, answer.reason);
    co_return std::make_unique<FakeResponse>(std::move(answer));
  }

  std::vector<std::string> methods() const {
    std::vector<std::string> all;
    for (const Received& one : received) all.push_back(one.method());
    return all;
  }
};

/// A result for the request.
inline std::string result_text(const FakeHttp::Received& to, std::string_view result) {
  return R"({"jsonrpc":"2.0","id":)" + to.id() + R"(,"result":)" + std::string(result) + "}";
}
inline std::string error_text(const FakeHttp::Received& to, int code, std::string_view message) {
  return R"({"jsonrpc":"2.0","id":)" + to.id() + R"(,"error":{"code":)" + std::to_string(code) +
         R"(,"message":")" + std::string(message) + "\"}}";
}

}  // namespace perdure::tools::testing
