// The way between a node and its database: it takes time, loses what is under way while it is cut,
// and delivers late.
#pragma once

#include <cstdint>

#include "async/task.h"
#include "random.h"

namespace perdure::simulation {

class Network {
 public:
  explicit Network(Random random) : random_(random) {}

  /// False: it did not arrive. Both directions alike.
  async::Task<bool> travel() {
    const std::int64_t cuts = cuts_;
    co_await async::sleep_for(slow_ ? random_.between(20, 400) : random_.between(0, 3));
    co_return !cut_ && cuts == cuts_;
  }
  /// What was lost may have been on its way all the same, and arrive this much later.
  std::int64_t delay() { return random_.between(0, 4000); }
  bool arrives_late() { return random_.chance(50); }

  void cut() {
    cut_ = true;
    ++cuts_;
  }
  /// Drops what is under way and goes on: a reset connection.
  void reset() { ++cuts_; }
  void mend() { cut_ = false; }
  bool is_cut() const { return cut_; }
  void be_slow(bool slow) { slow_ = slow; }

 private:
  Random random_;
  bool cut_ = false;
  bool slow_ = false;
  std::int64_t cuts_ = 0;
};

}  // namespace perdure::simulation
