#include "facades/common/idempotency.h"

#include <boost/asio/this_coro.hpp>

#include "base/bytes.h"
#include "facades/common/limits.h"

namespace perdure::facades {

Result<std::optional<std::string>> idempotency_key(const http::Request& request) {
  constexpr std::string_view kHeader = "Idempotency-Key";
  std::size_t count = request.headers.count(kHeader);
  if (count == 0) return std::nullopt;
  if (count > 1)
    return fail(ErrorCode::kInvalidArgument, "The Idempotency-Key header was given more than once.",
                std::string(kHeader));
  std::string key(*request.headers.get(kHeader));
  if (key.empty() || key.size() > kMaxIdempotencyKey)
    return fail(ErrorCode::kInvalidArgument,
                "The Idempotency-Key header must have between 1 and 256 bytes.",
                std::string(kHeader));
  return key;
}

std::optional<journal::IdempotencyRecord> Idempotency::Ticket::record(
    int status, std::string body, const SessionId& session) const {
  if (!draft_) return std::nullopt;
  journal::IdempotencyRecord record = *draft_;
  record.status = status;
  if (body.size() <= kMaxStoredAnswer) record.body = std::move(body);
  record.session = session.value;
  return record;
}

Task<Result<Idempotency::Ticket>> Idempotency::begin(identity::Caller caller, std::string route,
                                                     std::string key, std::string canonical_body) {
  journal::IdempotencyScope scope{caller.project, caller.principal, std::move(route),
                                  std::move(key)};
  // One wake-up may find that another waiter was faster: look again.
  while (running_->contains(scope)) {
    auto done = std::make_shared<async::Signal>(co_await boost::asio::this_coro::executor);
    (*running_)[scope].waiting.push_back(done);
    co_await done->wait();
  }

  Ticket ticket;
  (*running_)[scope];
  ticket.turn_ =
      std::shared_ptr<void>(nullptr, [map = std::weak_ptr<RunningMap>(running_), scope](void*) {
        auto running = map.lock();
        if (!running) return;
        auto node = running->extract(scope);
        if (node.empty()) return;
        for (const auto& waiter : node.mapped().waiting) waiter->notify();
      });

  UnixMillis now = env_.now();
  std::string hash = to_hex(as_view(sha256(canonical_body)));
  CO_TRY(stored, co_await store_.find(scope, now));
  if (stored && stored->request_hash != hash)
    co_return fail(ErrorCode::kConflict,
                   "This Idempotency-Key was already used with a different request body.",
                   "Idempotency-Key");
  if (stored) {
    ticket.answered_ = std::move(stored);
    ticket.turn_.reset();
    co_return ticket;
  }
  ticket.draft_ = journal::IdempotencyRecord{.scope = std::move(scope),
                                             .request_hash = std::move(hash),
                                             .expires = now + kIdempotencyLifetimeMs};
  co_return ticket;
}

}  // namespace perdure::facades
