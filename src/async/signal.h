// One waiter, one wake-up: how a callback or another coroutine on the same loop resumes a waiting
// coroutine. `notify` before `wait` is remembered, so nothing is missed.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "async/task.h"
#include "async/timer.h"

namespace perdure::async {

class Signal {
 public:
  explicit Signal(const Executor& executor) : timer_(executor) {
    timer_.expires_at(Timer::time_point::max());
  }

  void notify() {
    set_ = true;
    timer_.cancel();
  }

  /// Returns true once notified (and forgets it), false after `timeout_ms` (< 0: never).
  Task<bool> wait(std::int64_t timeout_ms = -1) {
    if (!set_) {
      if (timeout_ms < 0)
        timer_.expires_at(Timer::time_point::max());
      else
        timer_.expires_after(std::chrono::milliseconds(timeout_ms));
      co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    }
    co_return std::exchange(set_, false);
  }

 private:
  Timer timer_;
  bool set_ = false;
};

}  // namespace perdure::async
