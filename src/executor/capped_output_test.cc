#include "executor/capped_output.h"

#include <gtest/gtest.h>

namespace perdure::executor {
namespace {

TEST(CappedOutputTest, KeepsAllWhereItFits) {
  CappedOutput output(4, 4);
  output.add("ab");
  output.add("cdef");
  output.add("gh");
  EXPECT_EQ(output.text(), "abcdefgh");
  EXPECT_EQ(output.left_out(), 0U);
}

TEST(CappedOutputTest, KeepsBeginAndEndAndCountsWhatIsBetween) {
  // However the pieces fall, the same bytes are kept.
  std::string all;
  for (int i = 0; i < 100; ++i) all += static_cast<char>('0' + i % 10);
  for (std::size_t piece : {1, 3, 7, 50, 100}) {
    CappedOutput output(10, 20);
    for (std::size_t at = 0; at < all.size(); at += piece) output.add(all.substr(at, piece));
    EXPECT_EQ(output.head(), all.substr(0, 10)) << piece;
    EXPECT_EQ(output.tail(), all.substr(80)) << piece;
    EXPECT_EQ(output.left_out(), 70U) << piece;
    EXPECT_EQ(output.total(), 100U) << piece;
    EXPECT_EQ(output.text(), all.substr(0, 10) + "\n[… 70 bytes left out …]\n" + all.substr(80));
  }
}

TEST(CappedOutputTest, CountsWhatTheExecutorHasLost) {
  CappedOutput output(4, 4);
  output.add("abcd");
  output.add_lost(1000);
  output.add("wxyz");
  EXPECT_EQ(output.left_out(), 1000U);
  EXPECT_EQ(output.text(), "abcd\n[… 1000 bytes left out …]\nwxyz");
}

}  // namespace
}  // namespace perdure::executor
