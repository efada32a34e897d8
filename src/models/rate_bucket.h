// So much a minute, as a bucket that fills evenly and holds what one minute gives.
//
// More may be taken than is in it, once it is full or has enough: what a call really used is
// settled afterwards, and a debt is waited for. A value owned by its pool, for one thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/env.h"

namespace perdure::models {

class RateBucket {
 public:
  /// 0: no limit.
  explicit RateBucket(std::int64_t per_minute)
      : per_minute_(static_cast<double>(per_minute)), level_(per_minute_) {}

  /// How long until `amount` may be taken; more than a minute's worth needs a full bucket.
  std::int64_t wait_ms(UnixMillis now, std::int64_t amount) {
    if (per_minute_ <= 0) return 0;
    fill(now);
    double missing = std::min(static_cast<double>(amount), per_minute_) - level_;
    if (missing <= 0) return 0;
    return std::max<std::int64_t>(1, std::llround(std::ceil(missing * 60'000 / per_minute_)));
  }
  /// Negative: it is given back.
  void take(UnixMillis now, std::int64_t amount) {
    if (per_minute_ <= 0) return;
    fill(now);
    level_ = std::min(level_ - static_cast<double>(amount), per_minute_);
  }

 private:
  void fill(UnixMillis now) {
    if (filled_ != 0 && now > filled_)
      level_ =
          std::min(per_minute_, level_ + static_cast<double>(now - filled_) * per_minute_ / 60'000);
    filled_ = now;  // also where the clock was set back: no time passed then
  }

  double per_minute_;
  double level_;
  UnixMillis filled_ = 0;
};

}  // namespace perdure::models
