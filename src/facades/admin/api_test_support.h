// What the tests of the server's own API share: keys and projects in a memory store, routes that
// are called without a connection, and answers taken apart.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <string>
#include <utility>

#include "async/task.h"
#include "base/json.h"
#include "http/router.h"
#include "identity/api_keys.h"
#include "journal/memory/memory_journal.h"

namespace perdure::facades::admin {

class ApiTest : public testing::Test {
 protected:
  ApiTest() { await(keys_.open()).value(); }

  template <class T>
  T await(async::Task<T> task) {
    auto future = boost::asio::co_spawn(loop_, std::move(task), boost::asio::use_future);
    loop_.restart();
    loop_.run();
    return future.get();
  }
  http::Response call(std::string method, std::string path, std::string body = {},
                      http::Query query = {}) {
    const auto match = router_.match(method, path);
    EXPECT_NE(match.route, nullptr) << method << " " << path;
    return await(match.route->handler(http::Request{.method = std::move(method),
                                                    .path = std::move(path),
                                                    .query = std::move(query),
                                                    .body = std::move(body),
                                                    .parameters = match.parameters}));
  }
  static json::object parsed(const http::Response& response) {
    return parse_json(response.body).value().as_object();
  }
  static std::string error_code(const http::Response& response) {
    return std::string(get_string(get_object(parsed(response), "error"), "code"));
  }
  static std::string param_of(const http::Response& response) {
    return std::string(get_string(get_object(parsed(response), "error"), "param"));
  }

  const identity::Caller operator_{{"default"}, "operator", true};
  const identity::Caller alpha_{{"alpha"}, "key_a", false};
  const identity::Caller beta_{{"beta"}, "key_b", false};

  FakeEnv env_;
  boost::asio::io_context loop_;
  journal::MemoryJournal store_{env_};
  identity::ApiKeys keys_{env_, store_};
  http::Router router_;
};

}  // namespace perdure::facades::admin
