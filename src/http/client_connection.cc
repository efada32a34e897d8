#include "http/client_connection.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace perdure::http {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using Tcp = asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kResult = asio::as_tuple(asio::use_awaitable);

}  // namespace

std::shared_ptr<ssl::context> make_client_tls(const std::string& ca_file) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  error_code ec;
  if (ca_file.empty())
    context->set_default_verify_paths(ec);
  else
    context->load_verify_file(ca_file, ec);
  if (ec)
    throw std::runtime_error(fmt::format("The certificates in \"{}\" cannot be used: {}",
                                         ca_file.empty() ? "the system's store" : ca_file,
                                         ec.message()));
  context->set_verify_mode(ssl::verify_peer);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  SSL_CTX_set_alpn_protos(native, kHttp11, sizeof kHttp11 - 1);
  return context;
}

ClientConnection::ClientConnection(async::Executor executor, Url url,
                                   std::shared_ptr<ssl::context> tls)
    : executor_(executor),
      url_(std::move(url)),
      tls_context_(std::move(tls)),
      resolver_(executor),
      socket_(executor),
      timer_(executor) {}

async::Task<Result<void>> ClientConnection::connect(std::int64_t timeout_ms) {
  set_deadline(timeout_ms, "connecting");
  CO_TRY(endpoints, co_await look_up());
  Result<void> connected = failure("it has no address");
  for (std::size_t left = endpoints.size(); left > 0 && !connected && !closed_; --left) {
    // One address that swallows packets must not use up the time of the others.
    auto time = *deadline_ - std::chrono::steady_clock::now();
    connected = co_await connect_to(endpoints[endpoints.size() - left], left > 1 ? time / 2 : time);
  }
  if (connected && url_.tls) connected = co_await handshake();
  if (closed_) co_return std::unexpected(*closed_);
  clear_deadline();
  co_return connected;
}

async::Task<Result<std::vector<Tcp::endpoint>>> ClientConnection::look_up() {
  if (url_.is_address)
    co_return std::vector{Tcp::endpoint(asio::ip::make_address(url_.host), url_.port)};
  // A lookup that hangs cannot be interrupted, only left alone.
  auto lookup = lookup_ = std::make_shared<Lookup>(executor_);
  resolver_.async_resolve(url_.host, std::to_string(url_.port), Tcp::resolver::numeric_service,
                          [lookup](error_code ec, const Tcp::resolver::results_type& results) {
                            lookup->error = ec;
                            for (const auto& entry : results)
                              lookup->endpoints.push_back(entry.endpoint());
                            lookup->done.notify();
                          });
  co_await lookup->done.wait();
  lookup_ = nullptr;
  if (closed_) co_return std::unexpected(*closed_);
  if (lookup->error) co_return failure("its name cannot be resolved: " + lookup->error.message());
  co_return std::move(lookup->endpoints);
}

async::Task<Result<void>> ClientConnection::connect_to(Tcp::endpoint endpoint,
                                                       std::chrono::steady_clock::duration time) {
  error_code ec;
  if (socket_.is_open()) socket_.close(ec);
  // Asio would open the socket without SOCK_CLOEXEC.
  int descriptor = ::socket(endpoint.protocol().family(),
                            SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
  if (descriptor < 0) co_return failure("no socket: " + std::generic_category().message(errno));
  socket_.assign(endpoint.protocol(), descriptor, ec);
  if (ec) {
    ::close(descriptor);
    co_return failure(ec.message());
  }
  socket_.set_option(Tcp::no_delay(true), ec);

  asio::steady_timer patience(executor_, time);
  patience.async_wait([weak = weak_from_this(), attempt = ++attempt_](error_code stopped) {
    auto self = weak.lock();
    if (!stopped && self && self->attempt_ == attempt) self->socket_.cancel(stopped);
  });
  std::tie(ec) = co_await socket_.async_connect(endpoint, kResult);
  ++attempt_;
  if (ec == asio::error::operation_aborted) co_return failure("it does not answer");
  if (ec) co_return failure(ec.message());
  co_return Result<void>();
}

async::Task<Result<void>> ClientConnection::handshake() {
  tls_.emplace(socket_, *tls_context_);
  SSL* native = tls_->native_handle();
  X509_VERIFY_PARAM* verify = SSL_get0_param(native);
  std::string name = url_.host;
  if (name.ends_with('.')) name.pop_back();
  bool ready;
  if (url_.is_address) {
    ready = X509_VERIFY_PARAM_set1_ip_asc(verify, name.c_str()) == 1;
  } else {
    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    ready = X509_VERIFY_PARAM_set1_host(verify, name.data(), name.size()) == 1 &&
            SSL_set_tlsext_host_name(native, name.c_str()) == 1;
  }
  if (!ready) co_return failure("TLS cannot be set up for this name");
  auto [ec] = co_await tls_->async_handshake(ssl::stream_base::client, kResult);
  if (!ec) co_return Result<void>();
  long verdict = SSL_get_verify_result(native);
  if (verdict != X509_V_OK)
    co_return failure(
        fmt::format("its certificate is refused: {}", X509_verify_cert_error_string(verdict)));
  co_return failure("the TLS handshake failed: " + ec.message());
}

async::Task<Result<std::size_t>> ClientConnection::read_some(char* data, std::size_t size) {
  if (closed_) co_return std::unexpected(*closed_);
  auto buffer = asio::buffer(data, size);
  auto [ec, count] = tls_ ? co_await tls_->async_read_some(buffer, kResult)
                          : co_await socket_.async_read_some(buffer, kResult);
  if (closed_) co_return std::unexpected(*closed_);
  if (ec == asio::error::eof) co_return 0;
  if (ec == ssl::error::stream_truncated) co_return failure("it ended without the end of TLS");
  if (ec) co_return failure(ec.message());
  co_return count;
}

async::Task<Result<std::size_t>> ClientConnection::write_some(std::string_view data) {
  if (closed_) co_return std::unexpected(*closed_);
  auto buffer = asio::buffer(data.data(), data.size());
  auto [ec, count] = tls_ ? co_await tls_->async_write_some(buffer, kResult)
                          : co_await socket_.async_write_some(buffer, kResult);
  if (ec) co_return failure(ec.message());
  co_return count;
}

void ClientConnection::set_deadline(std::int64_t timeout_ms, const char* doing) {
  timeout_ms_ = timeout_ms;
  doing_ = doing;
  timer_.expires_after(std::chrono::milliseconds(timeout_ms));
  deadline_ = timer_.expiry();
  watch_deadline();
}

void ClientConnection::watch_deadline() {
  timer_.async_wait([weak = weak_from_this()](error_code ec) {
    auto self = weak.lock();
    // A wait that was replaced may still come through as expired: the clock decides.
    if (ec || !self || !self->deadline_ || std::chrono::steady_clock::now() < *self->deadline_)
      return;
    self->close(ErrorCode::kDeadlineExceeded);
  });
}

void ClientConnection::clear_deadline() {
  deadline_.reset();
  timer_.cancel();
}

void ClientConnection::close(ErrorCode reason) {
  if (closed_) return;
  std::string message =
      reason == ErrorCode::kDeadlineExceeded
          ? fmt::format("{}: {} took longer than {} ms.", url_.origin(), doing_, timeout_ms_)
          : fmt::format("{}: the request was cancelled.", url_.origin());
  closed_ = Error{reason, std::move(message), {}, {}};
  clear_deadline();
  error_code ignored;
  socket_.close(ignored);
  resolver_.cancel();
  if (lookup_) lookup_->done.notify();
}

bool ClientConnection::is_usable() {
  if (closed_ || !socket_.is_open()) return false;
  char byte;
  ssize_t count = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  bool silent = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  return silent && (!tls_ || SSL_has_pending(tls_->native_handle()) == 0);
}

/// What an operation answers: the reason of `close` if that ended it.
std::unexpected<Error> ClientConnection::failure(std::string_view what) const {
  if (closed_) return std::unexpected(*closed_);
  return fail(ErrorCode::kUpstream, fmt::format("{}: {}.", url_.origin(), what));
}

}  // namespace perdure::http
