// A client's side of one HTTP/1.1 connection to loopback, as plain as a load generator wants it.
//
// It knows Content-Length and chunked bodies and the events of a stream, nothing else. One
// coroutine uses it at a time. Whatever is not as expected is an exception: a benchmark of a
// failing server means nothing.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "async/task.h"

namespace perdure::bench {

using async::Task;

/// A whole request with the fields that every request of the benchmark carries.
std::string make_request(std::string_view method, std::string_view path,
                         std::string_view body = {});

class Peer {
 public:
  explicit Peer(boost::asio::io_context& loop) : socket_(loop) {}

  Task<> connect(std::uint16_t port);
  /// Sends a request and reads the head of its answer; gives the status.
  Task<int> begin(std::string request);
  /// The rest of the answer's body.
  Task<std::string> body();
  /// `begin` and `body`; throws unless the status is 2xx.
  Task<std::string> exchange(std::string request);
  /// The data of the next event of a stream; nullopt at the end of the answer.
  Task<std::optional<std::string>> next_event();
  /// Bytes that came in since the connection was made.
  std::uint64_t received() const { return received_; }
  void close();

 private:
  Task<> fill();
  /// Appends what is there of the body to `body_`; false at its end.
  Task<bool> more_body();
  Task<> begin_chunk();

  boost::asio::ip::tcp::socket socket_;
  std::string raw_;       // received, not yet looked at
  std::string body_;      // decoded, not yet taken
  std::size_t left_ = 0;  // of the body, or of the chunk and its line end
  bool chunked_ = false;
  bool ended_ = true;
  std::uint64_t received_ = 0;
};

/// The string member `name` of a flat piece of JSON text; empty if there is none.
std::string_view member(std::string_view json, std::string_view name);

}  // namespace perdure::bench
