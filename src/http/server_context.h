// What all connections of one server share. Lives as long as the last of them; loop thread only.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "async/signal.h"
#include "http/server.h"

namespace perdure::http {

class Connection;

class ServerContext : public std::enable_shared_from_this<ServerContext> {
 public:
  ServerContext(Env& environment, async::Executor loop, const Router& routes,
                ServerSettings server_settings, Hooks server_hooks);

  // --- for connections
  void enter(Connection* connection);
  void leave(Connection* connection);
  /// Counts body bytes in memory; false (and nothing counted) if they are over the limit.
  bool hold_body(std::size_t bytes);
  void release_body(std::size_t bytes) { body_bytes_ -= bytes; }
  /// "req_" and 32 hex digits.
  std::string new_request_id();
  /// The Date field's value; formatted once a second.
  std::string_view date();
  /// The answer of the server itself; never throws.
  Response error_response(int status, const Error& error, const Request* request);

  // --- for the server
  std::size_t size() const { return connections_.size(); }
  std::vector<std::shared_ptr<Connection>> snapshot() const;
  /// Waits until no connection is left; false after `timeout_ms`.
  Task<bool> wait_until_empty(std::int64_t timeout_ms);

  const async::Executor executor;
  const Router& router;
  const ServerSettings settings;
  const Hooks hooks;
  bool draining = false;
  std::size_t refusing = 0;  // connections over the limit that are being told so
  std::vector<std::shared_ptr<boost::asio::ip::tcp::acceptor>> acceptors;

 private:
  void schedule_sweep();
  void sweep();

  Env& env_;
  std::unordered_set<Connection*> connections_;
  boost::asio::steady_timer sweep_timer_;
  bool sweeping_ = false;
  async::Signal left_;
  std::size_t body_bytes_ = 0;
  std::string random_;  // drawn in blocks: one call into the generator for many ids
  std::size_t random_used_ = 0;
  std::int64_t date_second_ = -1;
  std::string date_;
};

}  // namespace perdure::http
