// A server on a free loopback port and raw clients, all on one thread: whoever waits turns the
// loop.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "async/signal.h"
#include "async/task.h"
#include "base/env.h"
#include "http/server.h"

namespace perdure::http::testing {

/// Given up after this long; a passing test never waits for it.
inline constexpr std::chrono::seconds kPatience{20};

struct Answer {
  int status = 0;
  Headers headers;
  std::string body;  ///< decoded if it was chunked
  std::string header(std::string_view name) const {
    return std::string(headers.get(name).value_or("(absent)"));
  }
};

class TestServer;

/// A socket that sends what it is told and reads while the server's loop turns.
class RawClient {
 public:
  explicit RawClient(TestServer& server, int receive_buffer = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;

  void send(std::string_view text);
  /// False if the connection has been reset.
  bool can_send(std::string_view text);
  /// Turning the loop after every byte.
  void send_byte_by_byte(std::string_view text);
  /// The next whole answer; a failure of the test if none comes. `head`: it has no body.
  Answer read_answer(bool head = false);
  /// Everything until the server closes.
  std::string read_to_end();
  /// At least until `text` has arrived; gives all that has, and forgets it.
  std::string read_until(std::string_view text);
  /// True if the server has closed; waits for it.
  bool closed_by_server();
  void close();
  /// Ends the sending half.
  void finish_sending();
  int fd() const { return fd_; }

 private:
  bool receive();

  TestServer& server_;
  int fd_ = -1;
  bool ended_ = false;
  std::string received_;
};

class TestServer {
 public:
  explicit TestServer(ServerSettings settings = quick(), Hooks hooks = {});
  ~TestServer();

  /// Limits are checked every few milliseconds.
  static ServerSettings quick();
  void add(std::string method, std::string path, Handler handler, std::size_t max_body = 8 << 20);
  /// Listens on first use.
  std::uint16_t port();
  Server& server() { return *server_; }
  async::Executor executor() { return loop_.get_executor(); }

  /// Turns the loop until `done`; false after kPatience.
  bool turn_until(const std::function<bool()>& done);
  /// Runs everything that is ready now.
  void turn();

  void destroy_server() { server_.reset(); }
  /// Runs a drain to its end.
  bool drain(std::int64_t deadline_ms);

 private:
  boost::asio::io_context loop_;
  FakeEnv env_;
  Router router_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
};

/// Answers 200 with "METHOD PATH BODY".
Task<Response> echo(Request request);
Response text_response(std::string body);

/// A handler that holds its requests until `opened` is notified.
struct Gate {
  explicit Gate(TestServer& server) : opened(server.executor()) {}
  Task<Response> wait(Request request);
  async::Signal opened;
  int entered = 0;
};

/// Whole requests as text. `fields` are complete lines.
std::string get(std::string_view path, std::string_view fields = "");
std::string post(std::string_view path, std::string_view body, std::string_view fields = "");
std::string post_chunked(std::string_view path, std::string_view chunks);

}  // namespace perdure::http::testing
