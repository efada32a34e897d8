// A circuit breaker: decides from how calls end whether a pool is worth asking.
//
//              half of the calls of a minute fail, or five in a row time out
//   closed ──────────────────────────────────────────────────────────────────▶ open
//     ▲                                                                         │ cooldown
//     └── the probe is answered ── half open (one probe at a time) ◀────────────┘
//                                     └── the probe fails: open again, for twice as long
//
// A value owned by its pool, for one thread. Time comes from outside. An answer that refuses a call
// (a bad request, a rate limit) is an answer: whoever gives it is not broken.
#pragma once

#include <cstdint>
#include <string_view>

#include "models/limits.h"
#include "models/sliding_window.h"

namespace perdure::models {

class Breaker {
 public:
  enum class State { kClosed, kOpen, kHalfOpen };
  /// How a call ended; kUnknown: it was cancelled, which says nothing.
  enum class Verdict { kAnswered, kFailed, kTimedOut, kUnknown };

  State state(UnixMillis now);
  /// Whether a call may go out now: closed, or half open without a probe under way.
  bool admits(UnixMillis now);
  /// A call goes out. True if it is the probe.
  bool begin(UnixMillis now);
  void end(UnixMillis now, bool probe, Verdict verdict);
  /// Milliseconds until the next probe; 0 unless open.
  std::int64_t closed_for(UnixMillis now);
  /// Calls and failures of the last minute.
  SlidingWindow::Counts recent(UnixMillis now) { return window_.counts(now); }

 private:
  void open(UnixMillis now);

  SlidingWindow window_;
  State state_ = State::kClosed;
  UnixMillis probe_at_ = 0;
  std::int64_t cooldown_ms_ = kFirstCooldownMs;
  int timeouts_in_a_row_ = 0;
  bool probing_ = false;
};

std::string_view to_string(Breaker::State state);

}  // namespace perdure::models
