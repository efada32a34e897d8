#include "base/decimal.h"

#include <gtest/gtest.h>

#include <limits>

namespace perdure {
namespace {

TEST(Decimal, IsReadExactly) {
  EXPECT_EQ(parse_decimal("2.50", 6), 2'500'000);
  EXPECT_EQ(parse_decimal("0.075", 6), 75'000);
  EXPECT_EQ(parse_decimal("10", 6), 10'000'000);
  EXPECT_EQ(parse_decimal("-0.1", 1), -1);
  EXPECT_EQ(parse_decimal("0.1000000", 1), 1) << "places that say nothing";
  EXPECT_EQ(parse_decimal("9223372036.854775807", 9), std::numeric_limits<std::int64_t>::max());
}

TEST(Decimal, IsRefusedWhereItWouldBeRounded) {
  for (const char* text : {"", ".", "1.", ".5", "1e3", "+1", "1,5", "0x1", "nan", "1.2.3", "--1",
                           "0.0000001", "9223372036854.775808"})
    EXPECT_EQ(parse_decimal(text, 6), std::nullopt) << text;
}

TEST(Decimal, IsWrittenShort) {
  EXPECT_EQ(format_decimal(2'500'000, 6, 2), "2.50");
  EXPECT_EQ(format_decimal(75'000, 6, 2), "0.075");
  EXPECT_EQ(format_decimal(10'000'000, 6), "10");
  EXPECT_EQ(format_decimal(-1, 9), "-0.000000001");
  EXPECT_EQ(format_decimal(0, 9, 2), "0.00");
  EXPECT_EQ(format_decimal(std::numeric_limits<std::int64_t>::min(), 0), "-9223372036854775808");
}

}  // namespace
}  // namespace perdure
