#include "models/price.h"

#include <gtest/gtest.h>

#include <limits>

namespace perdure::models {
namespace {

// $2.50, $0.25, $3.125 and $10 a million tokens.
constexpr Price kPrice{2'500'000, 250'000, 3'125'000, 10'000'000};

TEST(Price, EveryKindOfTokenHasItsOwn) {
  TokenUsage usage{.input_tokens = 1000,
                   .cached_tokens = 600,
                   .output_tokens = 50,
                   .reasoning_tokens = 20,
                   .cache_write_tokens = 100};
  // 300 · 2500 + 600 · 250 + 100 · 3125 + 50 · 10000 nano-dollars
  EXPECT_EQ(cost(kPrice, usage), 1'712'500);
}

TEST(Price, APartOfANanoDollarCountsAsOne) {
  EXPECT_EQ(cost({.input = 37'500}, {.input_tokens = 1}), 38);
  EXPECT_EQ(cost({.input = 37'500}, {.input_tokens = 2}), 75);
  EXPECT_EQ(cost(kPrice, {}), 0);
}

TEST(Price, NonsenseFromUpstreamNeitherOverflowsNorPaysBack) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(cost({.output = kMost}, {.output_tokens = kMost}), kMost);
  EXPECT_EQ(cost(kPrice, {.input_tokens = -5, .cached_tokens = -5, .output_tokens = -5}), 0);
  EXPECT_EQ(cost(kPrice, {.input_tokens = 1, .cached_tokens = 10}), 2'500);
}

}  // namespace
}  // namespace perdure::models
