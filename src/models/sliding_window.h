// Two counts over the last minute or so: calls, and those of them that were special.
//
// A value owned by who counts, for one thread. Time comes from outside and may jump: a clock that
// goes far back empties the window, one that goes a little back adds to the newest slot.
#pragma once

#include <cstdint>
#include <deque>

#include "base/env.h"

namespace perdure::models {

class SlidingWindow {
 public:
  struct Counts {
    std::int64_t calls = 0;
    std::int64_t special = 0;
  };
  void add(UnixMillis now, bool special) {
    slide(now);
    slots_.back().counts.calls += 1;
    if (special) slots_.back().counts.special += 1;
  }
  Counts counts(UnixMillis now) {
    slide(now);
    Counts sum;
    for (const Slot& slot : slots_) {
      sum.calls += slot.counts.calls;
      sum.special += slot.counts.special;
    }
    return sum;
  }
  void clear() { slots_.clear(); }

 private:
  static constexpr std::int64_t kSlotMs = 10'000;
  static constexpr std::int64_t kSlots = 6;
  struct Slot {
    std::int64_t number = 0;
    Counts counts;
  };
  void slide(UnixMillis now) {
    std::int64_t number = now / kSlotMs;
    if (!slots_.empty() && number + kSlots < slots_.back().number) slots_.clear();
    if (slots_.empty() || number > slots_.back().number) slots_.push_back({number, {}});
    while (slots_.front().number + kSlots <= slots_.back().number) slots_.pop_front();
  }

  std::deque<Slot> slots_;
};

}  // namespace perdure::models
