#include "http/sse.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace perdure::http {
namespace {

TEST(SseEventTest, HasItsFieldsAndEndsWithAnEmptyLine) {
  EXPECT_EQ(sse_event("7", "message", "hello"), "id: 7\nevent: message\ndata: hello\n\n");
  EXPECT_EQ(sse_event("", "", "x"), "data: x\n\n");
  EXPECT_EQ(sse_event("", "", ""), "data: \n\n");
}

TEST(SseEventTest, EveryLineOfTheDataIsALineOfItsOwn) {
  EXPECT_EQ(sse_event("", "", "a\nb\r\nc\rd\n"), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
}

TEST(SseEventTest, FieldsCannotBeEndedFromWithin) {
  EXPECT_EQ(sse_event("1\ndata: x", std::string("a\r\0b", 4), "d"),
            "id: 1data: x\nevent: ab\ndata: d\n\n");
}

class SseQueueTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const std::string> text(std::string value) {
    return std::make_shared<const std::string>(std::move(value));
  }

  std::unique_ptr<SseQueue> make(std::size_t bytes = 100, std::size_t events = 4) {
    SseQueue::Limits limits;
    limits.bytes = bytes;
    limits.events = events;
    SseQueue::Callbacks callbacks;
    callbacks.on_room = [this] { ++rooms_; };
    callbacks.on_gone = [this] { ++gone_; };
    return std::make_unique<SseQueue>(loop_.get_executor(), limits, std::move(callbacks));
  }

  struct Pull {
    bool returned = false;
    std::optional<std::string> piece;
  };
  static Task<> pull_into(SseQueue* queue, Pull* pull) {
    pull->piece = co_await queue->next();
    pull->returned = true;
  }
  void start_pull(SseQueue& queue, Pull& pull) {
    async::spawn(loop_.get_executor(), "pull", pull_into(&queue, &pull));
    turn();
  }
  std::optional<std::string> next(SseQueue& queue) {
    Pull pull;
    start_pull(queue, pull);
    EXPECT_TRUE(pull.returned);
    return pull.piece;
  }
  void turn() {
    loop_.restart();
    loop_.poll();
  }

  boost::asio::io_context loop_;
  int rooms_ = 0;
  int gone_ = 0;
};

TEST_F(SseQueueTest, JoinsWhatIsQueued) {
  auto queue = make();
  EXPECT_FALSE(queue->ready());
  queue->push(text("a"));
  queue->push(text("b"));
  EXPECT_TRUE(queue->ready());
  EXPECT_EQ(next(*queue), "ab");
  EXPECT_EQ(queue->queued_bytes(), 0u);
}

TEST_F(SseQueueTest, APieceHasAtMostTheStatedSizeButAtLeastOneEvent) {
  auto queue = make(1 << 20, 100);
  std::string half(kStreamPiece / 2, 'h');
  std::string large(kStreamPiece * 2, 'l');
  for (const std::string& one : {half, half, half, large}) queue->push(text(one));
  EXPECT_EQ(next(*queue), half + half);
  EXPECT_EQ(next(*queue), half);
  EXPECT_EQ(next(*queue), large);
}

TEST_F(SseQueueTest, SuspendsUntilSomethingComes) {
  auto queue = make();
  Pull pull;
  start_pull(*queue, pull);
  EXPECT_FALSE(pull.returned);
  queue->push(text("a"));
  queue->push(text("b"));
  turn();
  EXPECT_TRUE(pull.returned);
  EXPECT_EQ(pull.piece, "ab");
}

TEST_F(SseQueueTest, WakeReturnsEmptyOnce) {
  auto queue = make();
  Pull pull;
  start_pull(*queue, pull);
  queue->wake();
  turn();
  EXPECT_TRUE(pull.returned);
  EXPECT_EQ(pull.piece, "");
  Pull again;
  start_pull(*queue, again);
  EXPECT_FALSE(again.returned);
  queue->close();
  turn();
  EXPECT_TRUE(again.returned);
  EXPECT_EQ(again.piece, std::nullopt);
}

TEST_F(SseQueueTest, RefusesPastItsLimitsAndAsksForMoreWhenEmptied) {
  auto queue = make(10, 100);
  EXPECT_TRUE(queue->push(text("12345")));
  EXPECT_FALSE(queue->push(text("678901")));
  EXPECT_EQ(queue->queued_bytes(), 5u);
  EXPECT_EQ(next(*queue), "12345");
  EXPECT_EQ(rooms_, 0);
  Pull pull;
  start_pull(*queue, pull);
  EXPECT_EQ(rooms_, 1);
  queue->push(text("more"));
  turn();
  EXPECT_EQ(pull.piece, "more");
  EXPECT_EQ(rooms_, 1);

  auto few = make(100, 2);
  EXPECT_TRUE(few->push(text("a")) && few->push(text("b")));
  EXPECT_FALSE(few->push(text("c")));
}

TEST_F(SseQueueTest, TakesOneEventOfAnySize) {
  auto queue = make(10);
  EXPECT_TRUE(queue->push(text(std::string(1000, 'x'))));
  EXPECT_FALSE(queue->push(text("y")));
}

TEST_F(SseQueueTest, EndsAfterWhatIsQueuedAndTellsWhenItGoes) {
  auto queue = make();
  queue->push(text("a"));
  queue->close();
  EXPECT_FALSE(queue->push(text("b")));
  EXPECT_EQ(next(*queue), "a");
  EXPECT_EQ(next(*queue), std::nullopt);
  EXPECT_EQ(gone_, 0);
  queue.reset();
  EXPECT_EQ(gone_, 1);
}

}  // namespace
}  // namespace perdure::http
