// The timer that every coroutine waits with, and its clock.
//
// A program may bring its own time: it defines the two functions of timer.cc itself, and the linker
// leaves ours out. The simulation (tests/simulation) does, so that hours pass in a moment and come
// the same each time.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <chrono>

namespace perdure::async {

/// Goes steadily and is never set; says nothing about the date.
struct TimerClock {
  using duration = std::chrono::steady_clock::duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<TimerClock>;
  static constexpr bool is_steady = true;

  static time_point now();
};

struct TimerWait {
  /// How long the machine may sleep where the clock has so far to go.
  static TimerClock::duration to_wait_duration(const TimerClock::duration& left);
  static TimerClock::duration to_wait_duration(const TimerClock::time_point& end) {
    return to_wait_duration(end - TimerClock::now());
  }
};

using Timer = boost::asio::basic_waitable_timer<TimerClock, TimerWait>;

}  // namespace perdure::async
