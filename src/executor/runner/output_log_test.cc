#include "executor/runner/output_log.h"

#include <gtest/gtest.h>

#include "executor/runner/limits.h"

namespace perdure::executor::runner {
namespace {

TEST(OutputLogTest, NumbersPiecesAndReadsBehindAPlace) {
  OutputLog log;
  log.add(OutputStream::kStdout, "one");
  log.add(OutputStream::kStderr, "two");
  EXPECT_EQ(log.take_number(), 3U);
  log.add(OutputStream::kStdout, "four");
  auto answer = log.read(1, 1 << 20);
  ASSERT_EQ(answer.pieces.size(), 2U);
  EXPECT_EQ(answer.pieces[0]->bytes, "two");
  EXPECT_EQ(answer.pieces[1]->seq, 4U);
  EXPECT_FALSE(answer.more);
  // One piece comes even where it is too much: else nobody would get on.
  answer = log.read(0, 1);
  ASSERT_EQ(answer.pieces.size(), 1U);
  EXPECT_TRUE(answer.more);
}

TEST(OutputLogTest, KeepsBeginAndEndWithinItsBounds) {
  OutputLog log;
  std::size_t written = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string piece(i % 3 == 0 ? 1 : 1000, static_cast<char>('a' + i % 26));
    written += piece.size();
    log.add(OutputStream::kStdout, piece);
  }
  auto answer = log.read(0, SIZE_MAX);
  std::size_t kept = 0;
  for (const OutputPiece* piece : answer.pieces) kept += piece->bytes.size();
  EXPECT_EQ(kept + log.dropped_bytes(), written);
  EXPECT_LE(kept, kOutputHeadBytes + kOutputTailBytes);
  EXPECT_EQ(answer.pieces.front()->seq, 1U);
  EXPECT_EQ(answer.pieces.back()->seq, 20'000U);
}

}  // namespace
}  // namespace perdure::executor::runner
