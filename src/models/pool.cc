#include "models/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/failure.h"

namespace perdure::models {
namespace {

ModelFailure turned_away(std::string message) {
  ModelFailure failure;
  failure.code = "server_overloaded";
  failure.message = std::move(message);
  failure.retryable = true;
  failure.unsent = true;
  return failure;
}

bool says_too_often(const ModelFailure& failure) {
  return failure.code == "rate_limit_exceeded" || failure.code == "flex_unavailable";
}

Breaker::Verdict verdict_of(const Pool::Answer& answer) {
  using Verdict = Breaker::Verdict;
  if (answer) return Verdict::kAnswered;
  const std::string& code = answer.error().code;
  bool ours = code == kCancelledCode || code == "internal_error";
  if (ours || answer.error().unsent) return Verdict::kUnknown;
  if (code == "request_timeout") return Verdict::kTimedOut;
  if (code == "connection_failed" || code == "server_error" || code == "server_overloaded")
    return Verdict::kFailed;
  return Verdict::kAnswered;  // it refused, and so it works
}

ModelFailure cancelled_unsent() {
  ModelFailure failure = FailureMapper::cancelled();
  failure.unsent = true;
  return failure;
}

}  // namespace

Pool::Pool(const PoolEntry& entry, Provider& provider, CallRules rules,
           std::shared_ptr<RetryBudget> budget, Env& env, async::Executor executor)
    : entry_(entry),
      provider_(provider),
      rules_(rules),
      budget_(std::move(budget)),
      env_(env),
      executor_(std::move(executor)),
      requests_(entry.requests_per_minute),
      tokens_(entry.tokens_per_minute),
      clock_(executor_) {
  counted_.entry = &entry_;
}

// ---- coming in ------------------------------------------------------------------------------

async::Task<std::expected<Pool::Lease, ModelFailure>> Pool::admit(CallTicket ticket,
                                                                  async::CancelToken cancel) {
  if (cancel.cancelled()) co_return std::unexpected(cancelled_unsent());
  auto waiter = std::make_shared<Waiter>(executor_);
  waiter->ticket = std::move(ticket);
  waiter->number = ++next_number_;
  Line& line = lines_[waiter->ticket.project];
  (waiter->ticket.restarted ? line.restarted : line.fresh).push_back(waiter);
  ++waiting_;
  // The token may outlive this call and the pool: its callback must find nothing then.
  cancel.on_cancel([pool = weak_from_this(), weak = std::weak_ptr(waiter)] {
    auto self = pool.lock();
    auto waits = weak.lock();
    if (self && waits && !waits->lease && !waits->refusal) self->leave(waits, cancelled_unsent());
  });
  pump();
  start_clock();
  if (!waiter->lease && !waiter->refusal) co_await waiter->turn.wait();
  if (waiter->refusal) co_return std::unexpected(std::move(*waiter->refusal));
  co_return std::move(*waiter->lease);
}

ModelFailure Pool::broken() const {
  return turned_away(fmt::format(
      "The pool '{}' is left alone for a while, because its last calls failed.", entry_.name));
}

std::optional<ModelFailure> Pool::refusal(const CallTicket& ticket) {
  if (open_for() > 0) return broken();
  if (ticket.may_move && probing())
    return turned_away(fmt::format("The pool '{}' is being tried out.", entry_.name));
  if (paused_for() > kLongestQueuedPauseMs)
    return turned_away(fmt::format("The pool '{}' asked for a long pause.", entry_.name));
  if (ticket.retry && !budget_->allows(env_.now()))
    return turned_away(
        fmt::format("The provider '{}' has had its share of repeated calls.", entry_.provider));
  if (ticket.may_move && entry_.pool_class == PoolClass::kReserved && wait_for_room(ticket) != 0)
    return turned_away(fmt::format("The reserved pool '{}' is full.", entry_.name));
  return std::nullopt;
}

std::int64_t Pool::pump() {
  // Nobody waits for a pool that is left alone, also who is not in turn yet.
  while (open_for() > 0 && !lines_.empty()) {
    Line& line = lines_.begin()->second;
    WaiterPtr waiter = line.fresh.empty() ? line.restarted.front() : line.fresh.front();
    leave(waiter, broken());
  }
  while (std::deque<WaiterPtr>* line = next_line()) {
    WaiterPtr waiter = line->front();
    if (auto refused = refusal(waiter->ticket)) {
      leave(waiter, std::move(refused));
      continue;
    }
    std::int64_t wait = wait_for_room(waiter->ticket);
    if (wait != 0) return wait;
    last_served_ = waiter->ticket.project;
    waiter->lease.emplace(lend(waiter->ticket));
    leave(waiter, std::nullopt);
  }
  return -1;
}

std::int64_t Pool::wait_for_room(const CallTicket& ticket) {
  UnixMillis now = env_.now();
  if (entry_.max_in_flight > 0 && in_flight_ >= entry_.max_in_flight) return -1;
  if (!breaker_.admits(now)) return -1;
  return std::max({paused_for(), requests_.wait_ms(now, 1), tokens_.wait_ms(now, ticket.tokens)});
}

std::deque<Pool::WaiterPtr>* Pool::next_line() {
  bool restarts = restarted_in_flight_ < restarted_at_once_;
  auto front = [&](Line& line) -> std::deque<WaiterPtr>* {
    bool old = restarts && !line.restarted.empty();
    if (line.fresh.empty()) return old ? &line.restarted : nullptr;
    if (old && line.restarted.front()->number < line.fresh.front()->number) return &line.restarted;
    return &line.fresh;
  };
  // The project behind the one that was served last, and around.
  auto begin = lines_.upper_bound(last_served_);
  for (auto at = begin; at != lines_.end(); ++at)
    if (auto* line = front(at->second)) return line;
  for (auto at = lines_.begin(); at != begin; ++at)
    if (auto* line = front(at->second)) return line;
  return nullptr;
}

/// Takes a waiter out of the queue and wakes it.
void Pool::leave(const WaiterPtr& waiter, std::optional<ModelFailure> refusal) {
  auto found = lines_.find(waiter->ticket.project);
  auto& line = waiter->ticket.restarted ? found->second.restarted : found->second.fresh;
  if (line.front() == waiter)
    line.pop_front();
  else
    std::erase(line, waiter);
  if (found->second.fresh.empty() && found->second.restarted.empty()) lines_.erase(found);
  --waiting_;
  if (refusal && refusal->code != kCancelledCode) ++counted_.turned_away;
  waiter->refusal = std::move(refusal);
  waiter->turn.notify();
  if (waiting_ == 0) clock_.notify();
}

// ---- the clock --------------------------------------------------------------------------------

/// Something is waited for that no call's end brings about: a bucket, or the end of a pause.
void Pool::start_clock() {
  if (waiting_ == 0 || std::exchange(clock_runs_, true)) return;
  async::spawn(executor_, "pacing", run_clock(shared_from_this()));
}

async::Task<> Pool::run_clock(std::shared_ptr<Pool> self) {
  while (self->waiting_ > 0) {
    std::int64_t wait = self->pump();
    if (self->waiting_ > 0) co_await self->clock_.wait(wait < 0 ? kLookAgainMs : wait);
  }
  self->clock_runs_ = false;
}

// ---- calls ------------------------------------------------------------------------------------

Pool::Lease Pool::lend(const CallTicket& ticket) {
  UnixMillis now = env_.now();
  ++in_flight_;
  if (ticket.restarted) ++restarted_in_flight_;
  ++counted_.calls;
  requests_.take(now, 1);
  tokens_.take(now, ticket.tokens);
  budget_->count(now, ticket.retry);
  return Lease(shared_from_this(), ticket, breaker_.begin(now));
}

Pool::Lease::~Lease() {
  if (auto pool = std::exchange(pool_, nullptr)) pool->release(*this, Breaker::Verdict::kUnknown);
}

void Pool::Lease::settle(const Answer& answer) {
  if (auto pool = std::exchange(pool_, nullptr)) pool->settle(*this, answer);
}

void Pool::settle(const Lease& lease, const Answer& answer) {
  UnixMillis now = env_.now();
  bool known = answer ? answer->usage_known : answer.error().usage_known;
  const TokenUsage& usage = answer ? answer->usage : answer.error().usage;
  if (known) tokens_.take(now, usage.total() - lease.tokens_);
  if (answer && lease.restarted_) ++restarted_at_once_;
  if (!answer && answer.error().code != kCancelledCode) {
    const ModelFailure& failure = answer.error();
    ++counted_.failures;
    counted_.last_error_code = failure.code;
    counted_.last_error = failure.message;
    counted_.last_error_at = now;
    if (says_too_often(failure)) {
      ++counted_.rate_limited;
      std::int64_t pause = failure.retry_after_ms > 0
                               ? std::min(failure.retry_after_ms, kMaxRetryAfterMs)
                               : kRateLimitPauseMs;
      if (pause > paused_for()) {
        pause_ms_ = pause;
        paused_until_ = now + pause;
      }
    }
  }
  release(lease, verdict_of(answer));
}

void Pool::release(const Lease& lease, Breaker::Verdict verdict) {
  --in_flight_;
  if (lease.restarted_) --restarted_in_flight_;
  breaker_.end(env_.now(), lease.probe_, verdict);
  // Whatever ended, and whatever the pause is now: the clock looks anew.
  pump();
  clock_.notify();
}

// ---- what others see --------------------------------------------------------------------------

bool Pool::probing() {
  UnixMillis now = env_.now();
  return breaker_.state(now) == Breaker::State::kHalfOpen && !breaker_.admits(now);
}

std::int64_t Pool::paused_for() {
  UnixMillis now = env_.now();
  // A clock that was set back must not make the pause longer than it was meant.
  paused_until_ = std::min(paused_until_, now + pause_ms_);
  return std::max<std::int64_t>(paused_until_ - now, 0);
}

bool Pool::full(std::int64_t tokens) {
  UnixMillis now = env_.now();
  return (entry_.max_in_flight > 0 && load() >= entry_.max_in_flight) ||
         requests_.wait_ms(now, 1) > 0 || tokens_.wait_ms(now, tokens) > 0;
}

PoolStatus Pool::status() {
  UnixMillis now = env_.now();
  PoolStatus status = counted_;
  Breaker::State breaker = breaker_.state(now);
  SlidingWindow::Counts recent = breaker_.recent(now);
  status.breaker = to_string(breaker);
  status.in_flight = in_flight_;
  status.waiting = waiting_;
  status.recent_calls = recent.calls;
  status.recent_failures = recent.special;
  status.back_in_ms = std::max(open_for(), paused_for());
  status.state = breaker != Breaker::State::kClosed ? status.breaker
                 : paused_for() > 0                 ? "rate_limited"
                 : full(0)                          ? "full"
                                                    : "ready";
  return status;
}

}  // namespace perdure::models
