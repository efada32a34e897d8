// The golden frames were written by a program of its own and read back by botocore's parser.

#include "base/event_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/bytes.h"

namespace perdure {
namespace {

using ::testing::HasSubstr;

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(at, 2)), nullptr, 16));
  return bytes;
}

struct Golden {
  std::string bytes;
  EventStreamMessage message;
};

std::vector<Golden> goldens() {
  EventStreamUuid uuid;
  for (std::uint8_t n = 0; n < 16; ++n) uuid.bytes[n] = n;
  return {
      {from_hex("000000100000000005c248eb7d98c8ff"), {}},
      {from_hex("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"),
       {{}, "{'foo':'bar'}"}},
      {from_hex("00000083000000722d6f053b0474727565000566616c736501046279746502f80573686f727403f448"
                "03696e"
                "7404fffe7960046c6f6e6705000001000000000705627974657306000300ff10047465787407000667"
                "72c3bc"
                "c39f0474696d65080000011f71fb04cb047575696409000102030405060708090a0b0c0d0e0f78ee08"
                "76b9"),
       {{{"true", true},
         {"false", false},
         {"byte", std::int8_t{-8}},
         {"short", std::int16_t{-3000}},
         {"int", std::int32_t{-100000}},
         {"long", (std::int64_t{1} << 40) + 7},
         {"bytes", EventStreamBytes{std::string("\x00\xff\x10", 3)}},
         {"text", std::string("grüß")},
         {"time", EventStreamTimestamp{1234567890123}},
         {"uuid", uuid}},
        "x"}},
      {from_hex(
           "00000081000000526cc176930b3a6576656e742d7479706507000c6d65737361676553746172740d3a6"
           "36f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747"
           "970650700056576656e747b2270223a2261626364222c22726f6c65223a22617373697374616e74227df"
           "512a005"),
       {{{":event-type", std::string("messageStart")},
         {":content-type", std::string("application/json")},
         {":message-type", std::string("event")}},
        R"({"p":"abcd","role":"assistant"})"}},
  };
}

struct Read {
  std::vector<EventStreamMessage> messages;
  Result<void> result;
  bool between_frames = false;
};

Read read(const std::vector<std::string_view>& pieces, EventStreamLimits limits = {}) {
  EventStreamDecoder decoder(limits);
  Read read;
  for (std::string_view piece : pieces)
    if (read.result = decoder.feed(piece, read.messages); !read.result) break;
  read.between_frames = decoder.between_frames();
  return read;
}

std::string put(const EventStreamMessage& message) {
  auto frame = encode_event_stream(message);
  EXPECT_TRUE(frame) << frame.error().message;
  return frame.value_or("");
}

TEST(EventStream, CountsTheUsualChecksum) {
  EXPECT_EQ(crc32("123456789"), 0xCBF43926u);
  EXPECT_EQ(crc32("6789", crc32("12345")), 0xCBF43926u);
}

TEST(EventStream, ReadsAndWritesTheGoldenFrames) {
  for (const Golden& golden : goldens()) {
    Read got = read({golden.bytes});
    ASSERT_TRUE(got.result) << got.result.error().message;
    ASSERT_EQ(got.messages.size(), 1u);
    EXPECT_EQ(got.messages[0], golden.message);
    EXPECT_TRUE(got.between_frames);
    EXPECT_EQ(put(golden.message), golden.bytes);
  }
}

TEST(EventStream, ReadsEquallyHoweverItIsCut) {
  std::string stream;
  std::vector<EventStreamMessage> expected;
  for (const Golden& golden : goldens()) {
    stream += golden.bytes;
    expected.push_back(golden.message);
  }
  std::string_view whole = stream;
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    Read got = read({whole.substr(0, cut), whole.substr(cut)});
    ASSERT_TRUE(got.result);
    ASSERT_EQ(got.messages, expected) << "cut at byte " << cut;
  }
  std::vector<std::string_view> bytes;
  for (std::size_t at = 0; at < whole.size(); ++at) bytes.push_back(whole.substr(at, 1));
  EXPECT_EQ(read(bytes).messages, expected);
}

TEST(EventStream, SaysWhetherAFrameHasBegun) {
  std::string frame = goldens()[1].bytes;
  for (std::size_t end = 1; end < frame.size(); ++end) {
    Read got = read({std::string_view(frame).substr(0, end)});
    EXPECT_TRUE(got.result);
    EXPECT_FALSE(got.between_frames) << end;
    EXPECT_TRUE(got.messages.empty());
  }
}

TEST(EventStream, RefusesEveryFlippedBit) {
  for (const Golden& golden : goldens()) {
    for (std::size_t bit = 0; bit < golden.bytes.size() * 8; ++bit) {
      std::string flipped = golden.bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      Read got = read({flipped});
      ASSERT_FALSE(got.result) << "bit " << bit;
      EXPECT_EQ(got.result.error().code, ErrorCode::kUpstream);
      EXPECT_TRUE(got.messages.empty());
    }
  }
}

TEST(EventStream, GivesWhatCameBeforeAnErrorAndNothingAfterIt) {
  std::string good = goldens()[1].bytes;
  std::string bad = good;
  bad.back() = static_cast<char>(bad.back() ^ 1);
  EventStreamDecoder decoder;
  std::vector<EventStreamMessage> messages;
  EXPECT_FALSE(decoder.feed(good + bad + good, messages));
  EXPECT_EQ(messages.size(), 1u);
  EXPECT_FALSE(decoder.feed(good, messages));
  EXPECT_EQ(messages.size(), 1u);
}

/// A frame with right checksums around whatever stands inside.
std::string frame_around(std::string_view headers, std::string_view payload = "") {
  auto number = [](std::uint64_t value) {
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
    return out;
  };
  std::string frame = number(16 + headers.size() + payload.size()) + number(headers.size());
  frame += number(crc32(frame));
  frame += std::string(headers) + std::string(payload);
  return frame + number(crc32(frame));
}

TEST(EventStream, RefusesHeadersThatAreNone) {
  struct Case {
    std::string headers;
    const char* says;
  };
  const Case cases[] = {
      {std::string("\x00\x00", 2), "without a name"},
      {std::string("\x01\xff\x00", 3), "without a name"},
      {std::string("\x05"
                   "ab",
                   3),
       "in its middle"},
      {std::string("\x01"
                   "a",
                   2),
       "in its middle"},
      {std::string("\x01"
                   "a\x0a",
                   3),
       "unknown type 10"},
      {std::string("\x01"
                   "a\x04\x00\x00",
                   5),
       "in its middle"},
      {std::string("\x01"
                   "a\x07\x00\x09"
                   "short",
                   10),
       "in its middle"},
      {std::string("\x01"
                   "a\x07\x00\x01\xff",
                   6),
       "UTF-8"},
      {std::string("\x01"
                   "a\x09"
                   "123",
                   6),
       "in its middle"},
      {std::string("\x01"
                   "a\x00\x01"
                   "a\x01",
                   6),
       "'a' twice"},
  };
  for (const Case& each : cases) {
    Read got = read({frame_around(each.headers)});
    ASSERT_FALSE(got.result) << each.says;
    EXPECT_THAT(got.result.error().message, HasSubstr(each.says));
  }
  EXPECT_TRUE(read({frame_around(std::string("\x01"
                                             "a\x00",
                                             3))})
                  .result);
}

TEST(EventStream, RefusesALengthBeforeWaitingForIt) {
  EventStreamLimits limits{.max_headers = 10, .max_payload = 20};
  EXPECT_TRUE(read({frame_around("", std::string(20, 'x'))}, limits).result);
  std::string large = frame_around("", std::string(21, 'x'));
  Read got = read({std::string_view(large).substr(0, 12)}, limits);
  ASSERT_FALSE(got.result);
  EXPECT_EQ(got.result.error().code, ErrorCode::kTooLarge);
  std::string wide =
      frame_around(std::string("\x08"
                               "aaaaaaaa\x00\x00",
                               11));
  EXPECT_EQ(read({wide}, limits).result.error().code, ErrorCode::kTooLarge);
  // Lengths that contradict each other, with a prelude whose checksum is right.
  std::string small("\0\0\0\x0f\0\0\0\0", 8);
  std::uint32_t crc = crc32(small);
  for (int shift = 24; shift >= 0; shift -= 8) small += static_cast<char>(crc >> shift & 0xFF);
  EXPECT_THAT(read({small}).result.error().message, HasSubstr("contradict"));
}

TEST(EventStream, ReadsTheExtremesItWrites) {
  EventStreamMessage message{{{"a", std::numeric_limits<std::int64_t>::min()},
                              {"b", std::numeric_limits<std::int8_t>::max()},
                              {"c", std::numeric_limits<std::int16_t>::min()},
                              {"d", EventStreamTimestamp{-1}},
                              {"e", std::string()},
                              {std::string(255, 'n'), EventStreamBytes{std::string(32767, '\0')}}},
                             std::string(70'000, 'p')};
  std::string frame = put(message);
  Read got = read({frame});
  ASSERT_TRUE(got.result);
  EXPECT_EQ(got.messages.at(0), message);
}

TEST(EventStream, RefusesToWriteWhatCannotBeSaid) {
  auto refused = [](EventStreamHeader header) {
    auto frame = encode_event_stream({{std::move(header)}, ""});
    return !frame && frame.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({"", true}));
  EXPECT_TRUE(refused({std::string(256, 'n'), true}));
  EXPECT_TRUE(refused({"\xff", true}));
  EXPECT_TRUE(refused({"a", std::string(32768, 'x')}));
  EXPECT_TRUE(refused({"a", std::string("\xff")}));
  EXPECT_FALSE(encode_event_stream({{{"a", true}, {"a", false}}, ""}));
  EXPECT_FALSE(encode_event_stream({{}, "12345"}, {.max_payload = 4}));
}

TEST(EventStream, GivesTextOfHeadersThatHaveSome) {
  EventStreamMessage message{{{"a", std::string("x")}, {"b", true}}, ""};
  EXPECT_EQ(message.text("a"), "x");
  EXPECT_EQ(message.text("b"), "");
  EXPECT_EQ(message.text("c"), "");
}

}  // namespace
}  // namespace perdure
