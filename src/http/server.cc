#include "http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "http/connection.h"
#include "http/server_context.h"

namespace perdure::http {
namespace asio = boost::asio;
using asio::ip::tcp;
namespace {

constexpr int kBacklog = 1024;
constexpr int kAcceptsPerTurn = 64;
constexpr std::int64_t kPauseWithoutDescriptorsMs = 100;

bool set_option(int socket, int level, int option, int value) {
  return ::setsockopt(socket, level, option, &value, sizeof value) == 0;
}

/// Asio's own socket() and accept() leave descriptors open over exec, and a child of ours must
/// never inherit one; so both are made here and handed to Asio.
Result<int> open_listener(const tcp::endpoint& endpoint, const ServerSettings& settings) {
  int fd = ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool ok =
      fd >= 0 && set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
      // The rest is inherited by accepted sockets.
      set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
      set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(settings.write_timeout_ms)) &&
      (settings.send_buffer_bytes == 0 ||
       set_option(fd, SOL_SOCKET, SO_SNDBUF, settings.send_buffer_bytes)) &&
      ::bind(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0 &&
      ::listen(fd, kBacklog) == 0;
  if (ok) return fd;
  std::string why = std::strerror(errno);
  if (fd >= 0) ::close(fd);
  return fail(ErrorCode::kUnavailable, "cannot listen on " + endpoint.address().to_string() + ':' +
                                           std::to_string(endpoint.port()) + ": " + why);
}

void start_connection(const std::shared_ptr<ServerContext>& context, tcp protocol, int fd,
                      std::string peer) {
  tcp::socket socket(context->executor);
  boost::system::error_code ec;
  socket.assign(protocol, fd, ec);
  if (ec) {
    ::close(fd);
    return;
  }
  std::size_t served = context->size() - context->refusing;
  const bool over_limit = served >= context->settings.max_connections;
  if (over_limit && context->refusing >= kMaxRefusedConnections) return;
  auto connection = std::make_shared<Connection>(context, std::move(socket), std::move(peer));
  if (over_limit)
    async::spawn(context->executor, "http refusal", Connection::turn_away(connection));
  else
    async::spawn(context->executor, "http connection", Connection::run(connection));
}

/// Accepts what is waiting; false if the process or the system has no descriptor left.
bool accept_waiting(const std::shared_ptr<ServerContext>& context, tcp::acceptor& acceptor,
                    tcp protocol) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    tcp::endpoint peer;
    auto size = static_cast<socklen_t>(peer.capacity());
    int fd = ::accept4(acceptor.native_handle(), peer.data(), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      peer.resize(size);
      start_connection(context, protocol, fd, peer.address().to_string());
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return false;
    // Anything else is the trouble of one peer that left before it was accepted.
  }
  return true;
}

Task<> accept_loop(std::shared_ptr<ServerContext> context, std::shared_ptr<tcp::acceptor> acceptor,
                   tcp protocol) {
  bool warned = false;
  while (acceptor->is_open()) {
    auto [ec] = co_await acceptor->async_wait(tcp::acceptor::wait_read,
                                              asio::as_tuple(asio::use_awaitable));
    if (ec || !acceptor->is_open()) break;
    if (accept_waiting(context, *acceptor, protocol)) {
      warned = false;
      continue;
    }
    if (!warned) log::warn("cannot accept connections: no descriptors or memory left");
    warned = true;
    co_await async::sleep_for(kPauseWithoutDescriptorsMs);
  }
}

}  // namespace

Server::Server(Env& env, async::Executor executor, const Router& router, ServerSettings settings,
               Hooks hooks)
    : context_(std::make_shared<ServerContext>(env, std::move(executor), router, settings,
                                               std::move(hooks))) {}

Server::~Server() {
  stop_accepting();
  for (const auto& connection : context_->snapshot()) connection->close();
}

Result<Endpoint> Server::listen(const std::string& host, std::uint16_t port) {
  std::string text = host == "localhost" ? "127.0.0.1" : host;
  if (text.size() > 2 && text.front() == '[' && text.back() == ']')
    text = text.substr(1, text.size() - 2);
  boost::system::error_code ec;
  asio::ip::address address = asio::ip::make_address(text, ec);
  if (ec)
    return fail(ErrorCode::kInvalidArgument,
                "cannot listen on \"" + host + "\": give a numeric address or localhost");
  tcp::endpoint endpoint(address, port);
  TRY(fd, open_listener(endpoint, context_->settings));
  auto acceptor = std::make_shared<tcp::acceptor>(context_->executor);
  acceptor->assign(endpoint.protocol(), fd, ec);
  if (ec) {
    ::close(fd);
    return fail(ErrorCode::kUnavailable, "cannot listen: " + ec.message());
  }
  context_->acceptors.push_back(acceptor);
  async::spawn(context_->executor, "http listener",
               accept_loop(context_, acceptor, endpoint.protocol()));
  tcp::endpoint bound = acceptor->local_endpoint(ec);
  return Endpoint{bound.address().to_string(), bound.port()};
}

void Server::stop_accepting() {
  boost::system::error_code ignored;
  for (const auto& acceptor : context_->acceptors) acceptor->close(ignored);
  context_->acceptors.clear();
}

Task<bool> Server::drain(std::int64_t deadline_ms) {
  std::shared_ptr<ServerContext> context = context_;
  stop_accepting();
  context->draining = true;
  for (const auto& connection : context->snapshot()) connection->begin_drain();
  if (co_await context->wait_until_empty(deadline_ms)) co_return true;
  log::warn("closing connections that did not end in time", {{"count", context->size()}});
  for (const auto& connection : context->snapshot()) connection->close();
  co_await context->wait_until_empty(context->settings.linger_ms);
  co_return false;
}

std::size_t Server::connections() const {
  return context_->size();
}

}  // namespace perdure::http
