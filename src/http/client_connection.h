// One outgoing connection: name lookup, TCP, TLS, and a deadline over whatever it is doing.
//
// Shared by the exchange that uses it (or the pool that keeps it) and by its own pending
// operations; lives on one loop. One coroutine may read while another writes. `close` may be called
// at any time: a suspended operation then fails with the reason given (kCancelled,
// kDeadlineExceeded). Every other failure is kUpstream and names the host. Descriptors are
// close-on-exec.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/signal.h"
#include "async/task.h"
#include "base/error.h"
#include "http/url.h"

namespace perdure::http {

/// Trust for outgoing TLS: 1.2 or newer, chain verified against `ca_file` or, if that is empty, the
/// system's store. Throws std::runtime_error with a sentence if the file cannot be used.
std::shared_ptr<boost::asio::ssl::context> make_client_tls(const std::string& ca_file);

class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  ClientConnection(async::Executor executor, Url url,
                   std::shared_ptr<boost::asio::ssl::context> tls);
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  /// Looks the host up, tries its addresses in turn and, for https, does the handshake, checking
  /// the certificate's chain and that it is for this host.
  async::Task<Result<void>> connect(std::int64_t timeout_ms);

  /// At least one byte; 0 at the orderly end.
  async::Task<Result<std::size_t>> read_some(char* data, std::size_t size);
  /// Writes some of `data`, which must outlive the call.
  async::Task<Result<std::size_t>> write_some(std::string_view data);

  /// Closes with kDeadlineExceeded after this time, unless set anew or cleared. `doing` completes
  /// "… took longer than N ms".
  void set_deadline(std::int64_t timeout_ms, const char* doing);
  void clear_deadline();

  void close(ErrorCode reason = ErrorCode::kCancelled);
  /// True while an idle connection can carry a request: open, and the peer has sent nothing, not
  /// even its end. Looks at the socket without waiting.
  bool is_usable();

 private:
  using Tcp = boost::asio::ip::tcp;

  async::Task<Result<std::vector<Tcp::endpoint>>> look_up();
  async::Task<Result<void>> connect_to(Tcp::endpoint endpoint,
                                       std::chrono::steady_clock::duration time);
  async::Task<Result<void>> handshake();
  void watch_deadline();
  std::unexpected<Error> failure(std::string_view what) const;

  async::Executor executor_;
  Url url_;
  std::shared_ptr<boost::asio::ssl::context> tls_context_;
  Tcp::resolver resolver_;
  Tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<Tcp::socket&>> tls_;
  std::uint64_t attempt_ = 0;    ///< tells an address's timer that its time is over
  std::optional<Error> closed_;  ///< set by `close`: what later operations answer

  boost::asio::steady_timer timer_;
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  std::int64_t timeout_ms_ = 0;
  const char* doing_ = "";

  /// Filled by the resolver's callback, which may come after we have given up on it.
  struct Lookup {
    explicit Lookup(const async::Executor& executor) : done(executor) {}
    async::Signal done;
    boost::system::error_code error;
    std::vector<Tcp::endpoint> endpoints;
  };
  std::shared_ptr<Lookup> lookup_;
};

}  // namespace perdure::http
