// Idle keep-alive connections of the client, by origin.
//
// Shared by the client and its running exchanges; on one loop. The newest is used first, so that a
// burst's extra connections age and go. After `shut` nothing is kept.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "async/task.h"
#include "http/client.h"
#include "http/client_connection.h"

namespace perdure::http {

class ClientPool : public std::enable_shared_from_this<ClientPool> {
 public:
  ClientPool(async::Executor executor, ClientSettings settings);

  /// A connection that can carry a request now; nullptr: there is none.
  std::shared_ptr<ClientConnection> take(const std::string& origin);
  /// Keeps a connection whose last answer is complete, if there is room.
  void put(const std::string& origin, std::shared_ptr<ClientConnection> connection);
  std::shared_ptr<ClientConnection> make(const Url& url);
  void shut();

  const async::Executor& executor() const { return executor_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Idle {
    std::shared_ptr<ClientConnection> connection;
    Clock::time_point since;
  };

  void drop_expired();
  void sweep_later();

  async::Executor executor_;
  ClientSettings settings_;
  std::shared_ptr<boost::asio::ssl::context> tls_;  ///< null until it is needed
  std::map<std::string, std::deque<Idle>> idle_;    // oldest first
  std::size_t count_ = 0;
  boost::asio::steady_timer sweep_;
  bool sweeping_ = false;
  bool shut_ = false;
};

}  // namespace perdure::http
