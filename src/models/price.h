// What a model's tokens cost.
//
// Money is counted in whole nano-dollars, so that sums are exact and the same on every machine: a
// 64-bit number of them holds nine thousand million dollars. Prices are pico-dollars a token, which
// is the usual "dollars a million tokens" times 1,000,000: $0.075 is 75,000. What a call costs is
// rounded up, so a limit is never overrun by rounding.
#pragma once

#include <cstdint>

#include "models/item.h"

namespace perdure::models {

/// Nano-dollars.
using Money = std::int64_t;
inline constexpr Money kNanoPerCent = 10'000'000;

/// Decimal places of a dollar's nano-dollars, and of the pico-dollars a token in "dollars a million
/// tokens".
inline constexpr int kMoneyPlaces = 9;
inline constexpr int kPricePlaces = 6;

/// Pico-dollars a token, each.
struct Price {
  std::int64_t input = 0;
  std::int64_t cached_input = 0;  ///< read from a prompt cache
  std::int64_t cache_write = 0;   ///< written to one
  std::int64_t output = 0;        ///< reasoning included
  bool operator==(const Price&) const = default;
};

/// Of a call that used so many tokens. Saturates instead of overflowing.
Money cost(const Price& price, const TokenUsage& usage);

}  // namespace perdure::models
