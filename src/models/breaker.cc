#include "models/breaker.h"

#include <algorithm>

namespace perdure::models {

Breaker::State Breaker::state(UnixMillis now) {
  if (state_ == State::kOpen && closed_for(now) == 0) state_ = State::kHalfOpen;
  return state_;
}

bool Breaker::admits(UnixMillis now) {
  State current = state(now);
  return current == State::kClosed || (current == State::kHalfOpen && !probing_);
}

bool Breaker::begin(UnixMillis now) {
  bool probe = state(now) == State::kHalfOpen;
  if (probe) probing_ = true;
  return probe;
}

void Breaker::end(UnixMillis now, bool probe, Verdict verdict) {
  if (probe) probing_ = false;
  if (verdict == Verdict::kUnknown) return;
  bool failed = verdict != Verdict::kAnswered;
  timeouts_in_a_row_ = verdict == Verdict::kTimedOut ? timeouts_in_a_row_ + 1 : 0;
  if (state(now) == State::kHalfOpen) {
    if (!probe) return;  // a late end of a call from before says nothing about now
    if (failed) {
      cooldown_ms_ = std::min(cooldown_ms_ * 2, kLongestCooldownMs);
      return open(now);
    }
    state_ = State::kClosed;
    cooldown_ms_ = kFirstCooldownMs;
    window_.clear();
    window_.add(now, false);
    return;
  }
  window_.add(now, failed);
  if (state_ == State::kOpen || !failed) return;
  SlidingWindow::Counts counts = window_.counts(now);
  bool many =
      counts.calls >= kBreakerCalls && counts.special * 100 >= counts.calls * kBreakerPercent;
  if (many || timeouts_in_a_row_ >= kBreakerTimeouts) open(now);
}

std::int64_t Breaker::closed_for(UnixMillis now) {
  if (state_ != State::kOpen) return 0;
  // A clock that was set back must not keep the pool out for longer than was meant.
  probe_at_ = std::min(probe_at_, now + cooldown_ms_);
  return std::max<std::int64_t>(probe_at_ - now, 0);
}

void Breaker::open(UnixMillis now) {
  state_ = State::kOpen;
  probe_at_ = now + cooldown_ms_;
  timeouts_in_a_row_ = 0;
}

std::string_view to_string(Breaker::State state) {
  switch (state) {
    case Breaker::State::kClosed:
      return "closed";
    case Breaker::State::kOpen:
      return "open";
    case Breaker::State::kHalfOpen:
      return "half_open";
  }
  return "closed";
}

}  // namespace perdure::models
