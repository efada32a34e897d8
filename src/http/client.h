// The outgoing HTTP/1.1 client: pooled keep-alive connections, TLS with verification, streamed bodies.
//
// Owned by the composition root, used on one loop. Phases have their own deadlines: connect (with
// TLS), headers (until the status line), idle (between two pieces of the body). A response that is
// destroyed before its end closes its connection, which is how a call is cancelled.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "http/message.h"

namespace perdure::http {

struct ClientTimeouts {
  std::int64_t connect_ms = 10'000;
  std::int64_t headers_ms = 120'000;
  std::int64_t idle_ms = 120'000;
};

struct ClientRequest {
  std::string method = "POST";
  std::string url;  ///< http:// or https://, with host, optional port, path and query
  Headers headers;  ///< Host, Content-Length and Connection are the client's
  std::string body;
  ClientTimeouts timeouts;
};

class ClientResponse {
 public:
  virtual ~ClientResponse() = default;
  virtual int status() const = 0;
  virtual const Headers& headers() const = 0;
  /// The next piece of the body as it arrives; nullopt at its end. kUpstream when it is cut off,
  /// kDeadlineExceeded after idle_ms of silence.
  virtual Task<Result<std::optional<std::string>>> read() = 0;
  /// The rest of the body, at most `limit` bytes (kTooLarge beyond).
  Task<Result<std::string>> read_all(std::size_t limit);
  /// Closes the connection now; a suspended read returns kCancelled.
  virtual void cancel() = 0;
};

class Client {
 public:
  virtual ~Client() = default;
  /// kUpstream: no connection, TLS failure, a broken response; kDeadlineExceeded: a phase took too
  /// long; kInvalidArgument: a bad URL. A request on a pooled connection that had died before a byte
  /// of the answer came is sent once more on a new one only if it is a GET.
  virtual Task<Result<std::unique_ptr<ClientResponse>>> send(ClientRequest request) = 0;
};

struct ClientSettings {
  std::size_t idle_connections_per_host = 16;
  std::int64_t idle_connection_ms = 30'000;
  std::string ca_file;  ///< empty: the system's trust store
};

std::unique_ptr<Client> make_client(async::Executor executor, ClientSettings settings);

}  // namespace perdure::http
