#include "http/client_pool.h"

#include "http/client_limits.h"

namespace perdure::http {

ClientPool::ClientPool(async::Executor executor, ClientSettings settings)
    : executor_(executor), settings_(std::move(settings)), sweep_(executor) {
  if (!settings_.ca_file.empty()) tls_ = make_client_tls(settings_.ca_file);
}

std::shared_ptr<ClientConnection> ClientPool::make(const Url& url) {
  // Reading the system's certificates takes as long as the rest of a start, so it waits for the
  // first origin that needs them.
  if (url.tls && !tls_) tls_ = make_client_tls({});
  return std::make_shared<ClientConnection>(executor_, url, tls_);
}

std::shared_ptr<ClientConnection> ClientPool::take(const std::string& origin) {
  auto place = idle_.find(origin);
  if (place == idle_.end()) return nullptr;
  std::shared_ptr<ClientConnection> found;
  std::deque<Idle>& queue = place->second;
  while (!found && !queue.empty()) {
    found = std::move(queue.back().connection);
    queue.pop_back();
    --count_;
    if (!found->is_usable()) found = nullptr;
  }
  if (queue.empty()) idle_.erase(place);
  return found;
}

void ClientPool::put(const std::string& origin, std::shared_ptr<ClientConnection> connection) {
  if (shut_ || count_ >= kMaxIdleConnections || settings_.idle_connections_per_host == 0) return;
  std::deque<Idle>& queue = idle_[origin];
  if (queue.size() >= settings_.idle_connections_per_host) {
    queue.pop_front();
    --count_;
  }
  queue.push_back({std::move(connection), Clock::now()});
  ++count_;
  if (!sweeping_) sweep_later();
}

void ClientPool::drop_expired() {
  auto limit = Clock::now() - std::chrono::milliseconds(settings_.idle_connection_ms);
  for (auto place = idle_.begin(); place != idle_.end();) {
    std::deque<Idle>& queue = place->second;
    while (!queue.empty() && queue.front().since <= limit) {
      queue.pop_front();
      --count_;
    }
    place = queue.empty() ? idle_.erase(place) : std::next(place);
  }
}

void ClientPool::sweep_later() {
  sweeping_ = true;
  sweep_.expires_after(std::chrono::milliseconds(settings_.idle_connection_ms / 2 + 1));
  sweep_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    auto self = weak.lock();
    if (ec || !self) return;
    self->drop_expired();
    self->sweeping_ = false;
    if (self->count_ > 0) self->sweep_later();
  });
}

void ClientPool::shut() {
  shut_ = true;
  idle_.clear();
  count_ = 0;
  sweep_.cancel();
}

}  // namespace perdure::http
