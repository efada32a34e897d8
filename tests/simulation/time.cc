#include "time.h"

#include <algorithm>
#include <utility>

#include "async/timer.h"

namespace perdure::simulation {
namespace {

constexpr std::int64_t kHourMs = 3'600'000;

thread_local std::int64_t g_now = 0;
thread_local std::int64_t g_next = kHourMs;  // from now

}  // namespace

std::int64_t now_ms() {
  return g_now;
}

void set_now_ms(std::int64_t now) {
  if (now < g_now) g_next = kHourMs;
  g_now = now;
}

std::int64_t next_timer_ms() {
  return g_now + std::exchange(g_next, kHourMs);
}

}  // namespace perdure::simulation

namespace perdure::async {

TimerClock::time_point TimerClock::now() {
  return time_point(std::chrono::milliseconds(simulation::now_ms()));
}

/// Nobody sleeps: whoever runs the loops moves the clock. A loop that is looked at asks here with
/// what is left of its first timer.
TimerClock::duration TimerWait::to_wait_duration(const TimerClock::duration& left) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
  simulation::g_next = std::clamp<std::int64_t>(ms, 0, simulation::g_next);
  return {};
}

}  // namespace perdure::async
