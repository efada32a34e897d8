#include "http/sse_parser.h"

#include <gmock/gmock.h>

namespace perdure::http {
namespace {

using namespace std::string_view_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

SseEvent message(std::string data, std::string id = "") {
  return {"message", std::move(data), std::move(id)};
}

/// The events of a stream that is fed in pieces of `size` bytes.
std::vector<SseEvent> events_of(std::string_view stream, std::size_t size = 1 << 20) {
  SseParser parser;
  std::vector<SseEvent> events;
  for (std::size_t at = 0; at < stream.size(); at += size)
    EXPECT_TRUE(parser.feed(stream.substr(at, size), events));
  return events;
}

TEST(SseParser, ReadsEventsWithTypeDataAndId) {
  EXPECT_THAT(events_of("event: delta\nid: 7\ndata: {\"a\":1}\n\ndata:x\n\n"),
              ElementsAre(SseEvent{"delta", "{\"a\":1}", "7"}, message("x", "7")));
}

TEST(SseParser, TakesEveryLineEnd) {
  for (std::string_view end : {"\n", "\r", "\r\n"}) {
    std::string stream;
    for (std::string_view line : {"data: a", "data: b", "", "event: e", "data: c", ""})
      (stream += line) += end;
    for (std::size_t size : {1, 2, 3, 1000})
      EXPECT_THAT(events_of(stream, size), ElementsAre(message("a\nb"), SseEvent{"e", "c", ""}))
          << size;
  }
  EXPECT_THAT(events_of("data: a\r\n\r\ndata: b\n\r\ndata: c\r\r"),
              ElementsAre(message("a"), message("b"), message("c")));
}

TEST(SseParser, JoinsDataLines) {
  EXPECT_THAT(events_of("data: one\ndata\ndata:\ndata:  two\n\n"),
              ElementsAre(message("one\n\n\n two")));
  EXPECT_THAT(events_of("data\n\ndata:\n\n"), ElementsAre(message(""), message("")));
}

TEST(SseParser, IgnoresCommentsUnknownFieldsAndEventsWithoutData) {
  EXPECT_THAT(
      events_of(": ping\n\n:\n\nevent: lost\n\nfoo: bar\nDATA: no\n data: no\n\ndata: x\n\n"),
      ElementsAre(message("x")));
}

TEST(SseParser, SkipsAByteOrderMarkAtTheBeginningOnly) {
  for (std::size_t size : {1, 2, 3, 4, 1000})
    EXPECT_THAT(events_of("\xEF\xBB\xBF"
                          "data: a\n\n\xEF\xBB\xBF"
                          "data: b\n\n",
                          size),
                ElementsAre(message("a")));
}

TEST(SseParser, KeepsTheLastIdAndTheRetryTime) {
  SseParser parser;
  std::vector<SseEvent> events;
  EXPECT_EQ(parser.retry_ms(), std::nullopt);
  ASSERT_TRUE(
      parser.feed("retry: 1500\nid: a\n\nid: b\0c\ndata: x\n\nretry: -1\nretry: 1s\n\n"sv, events));
  EXPECT_THAT(events, ElementsAre(message("x", "a")));
  EXPECT_EQ(parser.last_event_id(), "a");
  EXPECT_EQ(parser.retry_ms(), 1500);
  ASSERT_TRUE(parser.feed("id\nretry: 99999999999999999999\n\n", events));
  EXPECT_EQ(parser.last_event_id(), "");
  EXPECT_EQ(parser.retry_ms(), 1500);
}

TEST(SseParser, NeverGivesAnEventThatWasCutOff) {
  EXPECT_THAT(events_of("data: a"), IsEmpty());
  EXPECT_THAT(events_of("data: a\n"), IsEmpty());
  EXPECT_THAT(events_of("data: a\r"), IsEmpty());
}

TEST(SseParser, GivesTheSameEventsHoweverTheStreamIsCut) {
  std::string_view stream =
      "\xEF\xBB\xBF: hi\r\nevent: a\rdata: 1\ndata: \xC3\xA9\n\r\n\r\ndata:2\r\rid: 9\nretry: "
      "5\n\n";
  auto whole = events_of(stream);
  ASSERT_EQ(whole.size(), 2u);
  for (std::size_t first = 0; first <= stream.size(); ++first) {
    for (std::size_t second = first; second <= stream.size(); ++second) {
      SseParser parser;
      std::vector<SseEvent> events;
      ASSERT_TRUE(parser.feed(stream.substr(0, first), events));
      ASSERT_TRUE(parser.feed(stream.substr(first, second - first), events));
      ASSERT_TRUE(parser.feed(stream.substr(second), events));
      ASSERT_EQ(events, whole) << first << ' ' << second;
    }
  }
}

TEST(SseParser, HoldsTheLineLimit) {
  SseParser parser({.max_line = 10});
  std::vector<SseEvent> events;
  EXPECT_FALSE(parser.feed("data: 7890\n\ndata: 78901", events));
  EXPECT_THAT(events, ElementsAre(message("7890")));
  auto again = parser.feed("\n\n", events);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(events.size(), 1u);
}

TEST(SseParser, HoldsTheLineLimitOverManyPieces) {
  SseParser parser({.max_line = 10});
  std::vector<SseEvent> events;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(parser.feed("x", events));
  EXPECT_FALSE(parser.feed("x", events));
}

TEST(SseParser, HoldsTheEventLimit) {
  SseParser parser({.max_event = 5});
  std::vector<SseEvent> events;
  EXPECT_TRUE(parser.feed("data: 12\ndata: 45\n\ndata: 12345\n\n", events));
  EXPECT_THAT(events, ElementsAre(message("12\n45"), message("12345")));
  auto result = parser.feed("data: 12\ndata: 456\n\n", events);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace perdure::http
