#include "http/chunk_decoder.h"

#include <gtest/gtest.h>

#include "http/limits.h"

namespace perdure::http {
namespace {

using State = ChunkDecoder::State;

struct Outcome {
  State state = State::kMore;
  std::size_t consumed = 0;
  std::string body;
};

Outcome decode(std::string_view input, std::size_t step, std::size_t max_body = 1000) {
  ChunkDecoder decoder(max_body);
  Outcome outcome;
  while (outcome.consumed < input.size() && outcome.state == State::kMore) {
    std::size_t consumed = 0;
    outcome.state = decoder.decode(input.substr(outcome.consumed, step), consumed, outcome.body);
    outcome.consumed += consumed;
  }
  return outcome;
}

/// The outcome must not depend on how the input is cut.
Outcome decode_any(std::string_view input, std::size_t max_body = 1000) {
  Outcome whole = decode(input, input.size(), max_body);
  for (std::size_t step : {1, 2, 3, 7}) {
    Outcome cut = decode(input, step, max_body);
    EXPECT_EQ(cut.state, whole.state) << input << " in steps of " << step;
    EXPECT_EQ(cut.body, whole.body) << input << " in steps of " << step;
    EXPECT_EQ(cut.consumed, whole.consumed) << input << " in steps of " << step;
  }
  return whole;
}

TEST(ChunkDecoderTest, JoinsChunksAndLeavesWhatFollows) {
  Outcome outcome = decode_any("5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\nGET /");
  EXPECT_EQ(outcome.state, State::kDone);
  EXPECT_EQ(outcome.body, "hello, world");
  EXPECT_EQ(outcome.consumed, 27u);
}

TEST(ChunkDecoderTest, IgnoresExtensionsAndTrailers) {
  Outcome outcome = decode_any(
      "3;name=value;q=\"a b\"\r\nabc\r\nA ;x\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\nY:\r\n\r\n");
  EXPECT_EQ(outcome.state, State::kDone);
  EXPECT_EQ(outcome.body, "abc0123456789");
}

TEST(ChunkDecoderTest, TheEmptyBody) {
  Outcome outcome = decode_any("0\r\n\r\n");
  EXPECT_EQ(outcome.state, State::kDone);
  EXPECT_EQ(outcome.body, "");
}

TEST(ChunkDecoderTest, RefusesWhatReadersCouldFrameDifferently) {
  for (const char* input : {"\r\n0\r\n\r\n",
                            " 5\r\n",
                            "+5\r\n",
                            "-1\r\n",
                            "0x5\r\n",
                            "5 \r\n",
                            "5\n",
                            "5\rx",
                            ";\r\n",
                            "g\r\n",
                            "5\r\nhelloX",
                            "5\r\nhello\n",
                            "5\r\nhello\rX",
                            "10000000000000000\r\n",
                            "00000000000000005\r\n",
                            "5;a\nb\r\n",
                            "0\r\n folded: x\r\n\r\n",
                            "0\r\nno colon\r\n\r\n",
                            "0\r\nX: a\nb\r\n\r\n",
                            "0\r\n\rX",
                            "0\r\n: empty name\r\n\r\n"})
    EXPECT_EQ(decode_any(input).state, State::kMalformed) << input;
}

TEST(ChunkDecoderTest, CountsTheBodyOverAllChunks) {
  EXPECT_EQ(decode_any("4\r\nabcd\r\n4\r\nabcd\r\n0\r\n\r\n", 8).state, State::kDone);
  EXPECT_EQ(decode_any("4\r\nabcd\r\n5\r\n", 8).state, State::kTooLarge);
  EXPECT_EQ(decode_any("ffffffffffffffff\r\n", 8).state, State::kTooLarge);
}

TEST(ChunkDecoderTest, LimitsExtensionsAndTrailers) {
  EXPECT_EQ(decode("1;" + std::string(kMaxChunkLine + 1, 'x'), 1000).state, State::kMalformed);
  EXPECT_EQ(decode("0\r\nX: " + std::string(kMaxTrailerBytes + 1, 'x'), 1000).state,
            State::kMalformed);
}

}  // namespace
}  // namespace perdure::http
