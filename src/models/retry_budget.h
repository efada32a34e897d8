// How many repeated calls a provider gets: a share of its calls of the last minute, and a few more.
//
// Without it every session would try several times during an outage, and what comes back would be
// met by a multiple of its load. A value shared by the pools of one provider, for one thread.
#pragma once

#include "models/sliding_window.h"

namespace perdure::models {

class RetryBudget {
 public:
  /// `percent` of the calls of a minute, and `floor` beyond that.
  RetryBudget(int percent, int floor) : percent_(percent), floor_(floor) {}

  bool allows(UnixMillis now) {
    SlidingWindow::Counts counts = window_.counts(now);
    return counts.special < floor_ + (counts.calls - counts.special) * percent_ / 100;
  }
  /// A call goes out.
  void count(UnixMillis now, bool retry) { window_.add(now, retry); }

 private:
  int percent_;
  int floor_;
  SlidingWindow window_;
};

}  // namespace perdure::models
