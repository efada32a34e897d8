// The outgoing HTTP/1.1 client: pooled keep-alive connections, TLS with verification, streamed
// bodies.
//
// Owned by the composition root, used on one loop; calls and responses may outlive the client.
// Phases have their own deadlines: connect (name lookup, TCP and TLS together), headers (from the
// first byte of the request until the end of the answer's head), idle (silence while a piece of the
// body is waited for). A response that is destroyed before its end closes its connection, which is
// how a call is cancelled; before there is a response, ClientRequest::stop does it. Redirects are
// answers like any other: they are not followed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace perdure::http {

/// The `reason` of an error after which the other side has not received a byte of the request.
inline constexpr std::string_view kNotSent = "not_sent";

struct ClientTimeouts {
  std::int64_t connect_ms = 10'000;
  std::int64_t headers_ms = 120'000;
  std::int64_t idle_ms = 120'000;
};

struct ClientRequest {
  std::string method = "POST";
  std::string url;  ///< http:// or https://, with host, optional port, path and query
  /// Host, Content-Length, Transfer-Encoding, Connection and the like are the client's: setting one
  /// is kInvalidArgument. "User-Agent: perdure" is added where there is none.
  Headers headers;
  std::string body;
  ClientTimeouts timeouts;
  /// Stopping it, on the loop, makes `send` and `read` return kCancelled and closes the connection.
  std::stop_token stop;
};

class ClientResponse {
 public:
  virtual ~ClientResponse() = default;
  virtual int status() const = 0;
  virtual const Headers& headers() const = 0;
  /// The next piece of the body as it arrives, never empty; nullopt at its end. kUpstream when it
  /// is cut off, kDeadlineExceeded after idle_ms of silence. After an error every call repeats it.
  /// One call at a time; the response may be destroyed meanwhile (the call then returns
  /// kCancelled).
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
  /// long; kInvalidArgument: a bad URL, method or header field; kCancelled: `stop`. Where there was
  /// no connection to send it over, `reason` is kNotSent.
  ///
  /// What is sent twice: a pooled connection is looked at before it is used, and one whose peer has
  /// closed it, or sent anything, is dropped unused, whatever the method. If it dies after that,
  /// before a byte of the answer came, the request may have been carried out: a GET or HEAD is sent
  /// once more, on a new connection; everything else fails with kUpstream. A request whose
  /// connection was new is never repeated.
  virtual Task<Result<std::unique_ptr<ClientResponse>>> send(ClientRequest request) = 0;
};

struct ClientSettings {
  std::size_t idle_connections_per_host = 16;
  std::int64_t idle_connection_ms = 30'000;
  std::string ca_file;  ///< empty: the system's trust store
};

/// Throws std::runtime_error with a sentence if `ca_file` cannot be used.
std::unique_ptr<Client> make_client(async::Executor executor, ClientSettings settings);

}  // namespace perdure::http
