#include "http/server_context.h"

#include <exception>
#include <span>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "http/connection.h"
#include "http/response_head.h"

namespace perdure::http {
namespace {

constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kRandomBlock = 64 * kIdBytes;

Response plain_error(int status, const Error& error) {
  std::string body = R"({"error":{"code":)";
  append_quoted(body, to_string(error.code));
  body += R"(,"message":)";
  append_quoted(body, error.message);
  body += "}}";
  return json_response(status, std::move(body));
}

}  // namespace

ServerContext::ServerContext(Env& environment, async::Executor loop, const Router& routes,
                             ServerSettings server_settings, Hooks server_hooks)
    : executor(std::move(loop)),
      router(routes),
      settings(server_settings),
      hooks(std::move(server_hooks)),
      env_(environment),
      sweep_timer_(executor),
      left_(executor) {}

void ServerContext::enter(Connection* connection) {
  connections_.insert(connection);
  if (!sweeping_) schedule_sweep();
}

void ServerContext::leave(Connection* connection) {
  connections_.erase(connection);
  if (!connections_.empty()) return;
  sweep_timer_.cancel();  // an idle server sleeps
  left_.notify();
}

std::vector<std::shared_ptr<Connection>> ServerContext::snapshot() const {
  std::vector<std::shared_ptr<Connection>> all;
  all.reserve(connections_.size());
  for (Connection* connection : connections_)
    if (auto alive = connection->weak_from_this().lock()) all.push_back(std::move(alive));
  return all;
}

Task<bool> ServerContext::wait_until_empty(std::int64_t timeout_ms) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (!connections_.empty()) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) co_return false;
    co_await left_.wait(left.count());
  }
  co_return true;
}

void ServerContext::schedule_sweep() {
  sweeping_ = true;
  sweep_timer_.expires_after(std::chrono::milliseconds(settings.sweep_ms));
  sweep_timer_.async_wait([weak = weak_from_this()](boost::system::error_code) {
    if (auto self = weak.lock()) self->sweep();
  });
}

void ServerContext::sweep() {
  sweeping_ = false;
  if (connections_.empty()) return;
  auto now = std::chrono::steady_clock::now();
  for (const auto& connection : snapshot()) connection->check_time(now);
  schedule_sweep();
}

bool ServerContext::hold_body(std::size_t bytes) {
  if (bytes > settings.max_body_bytes_in_flight - body_bytes_) return false;
  body_bytes_ += bytes;
  return true;
}

std::string ServerContext::new_request_id() {
  if (random_used_ + kIdBytes > random_.size()) {
    random_.resize(kRandomBlock);
    env_.random_bytes({reinterpret_cast<std::uint8_t*>(random_.data()), random_.size()});
    random_used_ = 0;
  }
  std::string_view bytes(random_.data() + random_used_, kIdBytes);
  random_used_ += kIdBytes;
  return "req_" + to_hex(bytes);
}

std::string_view ServerContext::date() {
  std::int64_t second = env_.now() / 1000;
  if (second != date_second_) {
    date_second_ = second;
    date_ = format_http_date(second);
  }
  return date_;
}

Response ServerContext::error_response(int status, const Error& error, const Request* request) {
  Response response;
  bool made = false;
  if (hooks.error_response) {
    try {
      response = hooks.error_response(status, error, request);
      made = true;
    } catch (const std::exception& e) {
      log::error("the error_response hook threw", {{"what", e.what()}});
    }
  }
  if (!made) response = plain_error(status, error);
  if (status == 503 && !response.headers.get("retry-after"))
    response.headers.add("retry-after", "1");
  return response;
}

}  // namespace perdure::http
