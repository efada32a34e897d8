// What the tests of the client share: a loop, a client on it, and ways to wait for its answers.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "http/client.h"
#include "http/scripted_server.h"

namespace perdure::http {

inline constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct WholeAnswer {
  int status = 0;
  Headers headers;
  std::string body;
};

/// Whatever it answers, as a whole.
inline Task<Result<WholeAnswer>> fetch(Client* client, ClientRequest request) {
  CO_TRY(response, co_await client->send(std::move(request)));
  WholeAnswer answer{response->status(), response->headers(), {}};
  CO_TRY(body, co_await response->read_all(64 << 20));
  answer.body = std::move(body);
  co_return answer;
}

class ClientTest : public testing::Test {
 protected:
  explicit ClientTest(ClientSettings settings = {}) { use(std::move(settings)); }

  void use(ClientSettings settings) {
    client_ = make_client(loop_.get_executor(), std::move(settings));
  }

  /// Runs the loop until the task has ended.
  template <class T>
  T wait_for(Task<T> task) {
    std::optional<T> value;
    boost::asio::co_spawn(loop_, std::move(task), [&](std::exception_ptr error, T result) {
      if (error) std::rethrow_exception(error);
      value = std::move(result);
    });
    run_until([&] { return value.has_value(); });
    return std::move(*value);
  }

  /// Starts a task whose value lands in `slot`; the loop must run for it to go on.
  template <class T>
  void start(Task<T> task, std::optional<T>* slot) {
    boost::asio::co_spawn(loop_, std::move(task), [slot](std::exception_ptr error, T result) {
      if (error) std::rethrow_exception(error);
      *slot = std::move(result);
    });
  }

  /// The condition may be about the server's threads, so the loop is left now and then.
  template <class Condition>
  void run_until(Condition condition) {
    while (!condition()) {
      if (loop_.stopped()) loop_.restart();
      loop_.run_one_for(std::chrono::milliseconds(1));
    }
  }

  Result<WholeAnswer> get(const std::string& url) {
    return wait_for(fetch(client_.get(), request(url, "GET")));
  }
  Result<WholeAnswer> post(const std::string& url, std::string body = "{}") {
    ClientRequest post = request(url, "POST");
    post.body = std::move(body);
    return wait_for(fetch(client_.get(), std::move(post)));
  }
  /// What a server that sends these bytes and closes is understood to have answered.
  Result<WholeAnswer> answer_to(std::string method, std::string bytes) {
    ScriptedServer server({[&](ScriptedPeer& peer) {
      peer.read_request();
      peer.send(bytes);
    }});
    return wait_for(fetch(client_.get(), request(server.url(), std::move(method))));
  }
  Error error_of(const Result<WholeAnswer>& answer) {
    EXPECT_FALSE(answer) << answer->status << ' ' << answer->body;
    return answer ? Error{} : answer.error();
  }
  ErrorCode code_of(const Result<WholeAnswer>& answer) { return error_of(answer).code; }

  static ClientRequest request(std::string url, std::string method) {
    ClientRequest request;
    request.method = std::move(method);
    request.url = std::move(url);
    return request;
  }

  boost::asio::io_context loop_;
  std::unique_ptr<Client> client_;
};

}  // namespace perdure::http
