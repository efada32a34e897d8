// The HTTP/1.1 server: listens, runs one coroutine per connection, and ends politely.
//
// Built by the composition root; everything runs on the one loop of its executor. The router and
// the Env must outlive it. Requests of one connection are answered strictly in order. A handler
// runs to its end even if its client leaves. An exception out of a handler is logged and answered
// as 500.
//
// The life of a request: head parsed (request_parser.h) → route matched → `Hooks::admit` → body
// read → `Hooks::before` → handler → one write. A head that is malformed, a body that is too large
// or a time limit that runs out is answered through `Hooks::error_response`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/env.h"
#include "base/error.h"
#include "http/limits.h"
#include "http/message.h"
#include "http/router.h"

namespace perdure::http {

/// What an operator may change; times in milliseconds.
struct ServerSettings {
  std::size_t max_connections = kMaxConnections;  ///< one more is answered 503 and closed
  std::size_t max_body_bytes_in_flight = kMaxBodyBytesInFlight;
  std::int64_t header_timeout_ms = kHeaderTimeoutMs;         ///< first byte to end of the header
  std::int64_t body_idle_timeout_ms = kBodyIdleTimeoutMs;    ///< between two pieces of a body
  std::int64_t keep_alive_timeout_ms = kKeepAliveTimeoutMs;  ///< between two requests
  std::int64_t write_timeout_ms = kWriteTimeoutMs;  ///< without a byte accepted by the peer
  std::int64_t heartbeat_ms = kHeartbeatMs;         ///< silence of a stream
  std::int64_t linger_ms = kLingerMs;
  std::int64_t sweep_ms = kSweepMs;  ///< how often the limits above are checked
  int send_buffer_bytes = 0;         ///< SO_SNDBUF of a connection; 0: the system's choice
};

/// What the doors add to every exchange. All run on the loop; any may be empty.
struct Hooks {
  /// Makes the answer to a request that no handler answers, in the shape of the door that `request`
  /// was meant for. `request` is null if nothing of it was understood; it may lack everything but
  /// what was read before the error. Empty: `{"error":{"code":…,"message":…}}`.
  std::function<Response(int status, const Error& error, const Request* request)> error_response;
  /// Called when the head is known and the body is not yet read (it is empty here); `route` is null
  /// for a 404 or 405. A response refuses the request without reading more than a little of it:
  /// the place for Host, Origin and a missing Authorization.
  std::function<std::optional<Response>(const Request& request, const Route* route)> admit;
  /// Called with the whole request before its handler, and before a 404 or 405 is answered.
  std::function<std::optional<Response>(Request& request, const Route* route)> before;
};

struct Endpoint {
  std::string host;  ///< the address in numbers
  std::uint16_t port = 0;
};

class ServerContext;

class Server {
 public:
  Server(Env& env, async::Executor executor, const Router& router, ServerSettings settings,
         Hooks hooks);
  /// Closes every listener and connection at once. Handlers still running end later, unanswered;
  /// after a `drain` there are none but those that outlived its deadline.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Listens on a numeric address or "localhost"; port 0 takes a free one. Returns where it
  /// listens. May be called for several addresses. kInvalidArgument: not an address; kUnavailable:
  /// the system refuses it (in use, not permitted).
  Result<Endpoint> listen(const std::string& host, std::uint16_t port);

  /// Closes the listeners; connections go on.
  void stop_accepting();

  /// Ends politely: no new connections, idle ones closed, running requests answered with
  /// "Connection: close", streams woken and ended after what they have ready. After `deadline_ms`
  /// the rest is cut off. True if nothing had to be.
  Task<bool> drain(std::int64_t deadline_ms);

  std::size_t connections() const;

 private:
  std::shared_ptr<ServerContext> context_;
};

}  // namespace perdure::http
