// Streamed answers, from the handler's ByteStream to the client's socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "http/server_test_support.h"
#include "http/sse.h"

namespace perdure::http {
namespace {

using testing::Answer;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawClient;
using ::testing::StartsWith;
using testing::TestServer;

constexpr std::string_view kGet = "GET /events HTTP/1.1\r\nHost: h\r\n\r\n";

std::shared_ptr<const std::string> shared(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

/// Publishes to the last subscriber of /events, as a session would.
class StreamTest : public ::testing::Test {
 protected:
  void start(ServerSettings settings = TestServer::quick(), SseQueue::Limits limits = {}) {
    server_ = std::make_unique<TestServer>(settings);
    limits_ = limits;
    server_->add("GET", "/events", [this](Request) { return subscribe(this); });
    server_->add("GET", "/plain", testing::echo);
    server_->add("HEAD", "/events", [this](Request) { return subscribe(this); });
  }

  static Task<Response> subscribe(StreamTest* test) {
    SseQueue::Callbacks callbacks;
    callbacks.on_room = [test] {
      ++test->rooms_;
      if (test->refill_) test->refill_();
    };
    callbacks.on_gone = [test] {
      test->queue_ = nullptr;
      ++test->gone_;
    };
    auto queue =
        std::make_unique<SseQueue>(test->server_->executor(), test->limits_, std::move(callbacks));
    test->queue_ = queue.get();
    for (const auto& text : test->first_) queue->push(text);
    if (test->close_at_once_) queue->close();
    co_return sse_response(std::move(queue));
  }

  bool wait_for_subscriber() {
    return server_->turn_until([&] { return queue_ != nullptr; });
  }
  bool wait_until_gone() {
    return server_->turn_until([&] { return gone_ > 0; });
  }

  std::unique_ptr<TestServer> server_;
  SseQueue::Limits limits_;
  SseQueue* queue_ = nullptr;
  std::vector<std::shared_ptr<const std::string>> first_;
  bool close_at_once_ = false;
  std::function<void()> refill_;
  int rooms_ = 0;
  int gone_ = 0;
};

TEST_F(StreamTest, SendsTheHeadAtOnceAndEventsAsTheyCome) {
  start();
  RawClient client(*server_);
  client.send(kGet);
  std::string head = client.read_until("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, HasSubstr("text/event-stream"));
  EXPECT_THAT(head, HasSubstr("transfer-encoding: chunked\r\n"));
  queue_->push(shared(sse_event("1", "tick", "one")));
  EXPECT_EQ(client.read_until("\n\n\r\n"), "1d\r\nid: 1\nevent: tick\ndata: one\n\n\r\n");
  queue_->close();
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
  EXPECT_EQ(gone_, 1);
}

TEST_F(StreamTest, WhatIsReadyTogetherIsOneChunk) {
  start();
  std::string all;
  for (int i = 0; i < 50; ++i) {
    first_.push_back(shared(sse_event(std::to_string(i), "tick", "x")));
    all += *first_.back();
  }
  close_at_once_ = true;
  RawClient client(*server_);
  client.send(kGet);
  std::string answer = client.read_until("0\r\n\r\n");
  EXPECT_THAT(answer, EndsWith(all + "\r\n0\r\n\r\n"));
}

TEST_F(StreamTest, TheConnectionServesOnAfterAStream) {
  start();
  first_ = {shared("data: x\n\n")};
  close_at_once_ = true;
  RawClient client(*server_);
  client.send(std::string(kGet) + "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n" + std::string(kGet));
  EXPECT_EQ(client.read_answer().body, "data: x\n\n");
  EXPECT_EQ(client.read_answer().body, "GET /plain ");
  EXPECT_EQ(client.read_answer().body, "data: x\n\n");
}

TEST_F(StreamTest, ARequestThatArrivesDuringAStreamWaitsItsTurn) {
  start();
  RawClient client(*server_);
  client.send(kGet);
  client.read_until("\r\n\r\n");
  client.send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n");
  server_->turn();
  queue_->push(shared("data: x\n\n"));
  client.read_until("data: x\n\n\r\n");
  EXPECT_EQ(gone_, 0);
  queue_->close();
  EXPECT_THAT(client.read_until("GET /plain "), StartsWith("0\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

TEST_F(StreamTest, AClientThatLeavesEndsItsStream) {
  start();
  {
    RawClient client(*server_);
    client.send(kGet);
    client.read_until("\r\n\r\n");
  }
  EXPECT_TRUE(wait_until_gone());
  EXPECT_TRUE(server_->turn_until([&] { return server_->server().connections() == 0; }));
}

TEST_F(StreamTest, AClientThatLeavesWhileTheServerIsWritingEndsItsStream) {
  ServerSettings settings = TestServer::quick();
  settings.send_buffer_bytes = 4096;
  start(settings);
  {
    RawClient client(*server_, 4096);
    client.send(kGet);
    ASSERT_TRUE(wait_for_subscriber());
    for (int i = 0; i < 50 && queue_->push(shared(std::string(60'000, 'x'))); ++i) server_->turn();
    ASSERT_EQ(gone_, 0);
  }
  EXPECT_TRUE(wait_until_gone());
}

TEST_F(StreamTest, AClientThatDoesNotReadFillsItsQueueAndNoMore) {
  ServerSettings settings = TestServer::quick();
  settings.send_buffer_bytes = 4096;
  SseQueue::Limits limits;
  limits.bytes = 100'000;
  start(settings, limits);
  RawClient client(*server_, 4096);
  client.send(kGet);
  ASSERT_TRUE(wait_for_subscriber());
  int pushed = 0;
  int turned_down = 0;
  for (int i = 0; i < 3000 && turned_down < 50; ++i) {
    if (queue_->push(shared("data: " + std::string(1000, 'x') + "\n\n")))
      ++pushed;
    else
      ++turned_down;
    ASSERT_LE(queue_->queued_bytes(), limits.bytes);
    server_->turn();
  }
  EXPECT_EQ(turned_down, 50) << "a client that reads nothing must fall behind";
  EXPECT_EQ(rooms_, 0);
  // Once it reads, it gets all that was accepted, and then the publisher is asked to go on.
  refill_ = [&] {
    queue_->push(shared("data: from the journal\n\n"));
    queue_->close();
  };
  Answer answer = client.read_answer();
  EXPECT_EQ(rooms_, 1);
  EXPECT_EQ(answer.body.size(), static_cast<std::size_t>(pushed) * 1008 + 24);
  EXPECT_THAT(answer.body.substr(answer.body.size() - 24), "data: from the journal\n\n");
}

TEST_F(StreamTest, AQuietStreamIsKeptAlive) {
  ServerSettings settings = TestServer::quick();
  settings.heartbeat_ms = 10;
  settings.write_timeout_ms = settings.keep_alive_timeout_ms = settings.header_timeout_ms = 30;
  start(settings);
  RawClient client(*server_);
  client.send(kGet);
  client.read_until("\r\n\r\n");
  for (int i = 0; i < 10; ++i) client.read_until("3\r\n:\n\n\r\n");
  queue_->push(shared("data: x\n\n"));
  client.read_until("data: x\n\n");
  EXPECT_EQ(gone_, 0);
}

TEST_F(StreamTest, ADeadPeerIsCutOff) {
  ServerSettings settings = TestServer::quick();
  settings.send_buffer_bytes = 4096;
  settings.write_timeout_ms = 40;
  start(settings);
  RawClient client(*server_, 4096);
  client.send(kGet);
  ASSERT_TRUE(wait_for_subscriber());
  for (int i = 0; i < 100 && queue_ && queue_->push(shared(std::string(60'000, 'x'))); ++i)
    server_->turn();
  EXPECT_TRUE(wait_until_gone());
}

TEST_F(StreamTest, DrainEndsStreamsAfterWhatTheyHave) {
  start();
  RawClient client(*server_);
  client.send(kGet);
  client.read_until("\r\n\r\n");
  queue_->push(shared("data: last\n\n"));
  EXPECT_TRUE(server_->drain(60'000));
  EXPECT_EQ(client.read_to_end(), "c\r\ndata: last\n\n\r\n0\r\n\r\n");
  EXPECT_EQ(gone_, 1);
}

TEST_F(StreamTest, Http10GetsTheBareBytes) {
  start();
  first_ = {shared("data: x\n\n")};
  close_at_once_ = true;
  RawClient client(*server_);
  client.send("GET /events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  std::string answer = client.read_to_end();
  EXPECT_THAT(answer, EndsWith("\r\n\r\ndata: x\n\n"));
  EXPECT_THAT(answer, HasSubstr("connection: close\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("transfer-encoding")));
}

TEST_F(StreamTest, HeadPullsNothing) {
  start();
  RawClient client(*server_);
  client.send("HEAD /events HTTP/1.1\r\nHost: h\r\n\r\nGET /plain HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.read_answer(true).status, 200);
  EXPECT_EQ(client.read_answer().body, "GET /plain ");
  EXPECT_EQ(gone_, 1);
}

class ThrowingStream final : public ByteStream {
 public:
  Task<std::optional<std::string>> next() override {
    if (std::exchange(second_, true)) throw std::runtime_error("broken");
    co_return std::string("some");
  }
  void wake() override {}

 private:
  bool second_ = false;
};

TEST_F(StreamTest, AnExceptionCutsTheBodyOff) {
  start();
  struct Maker {
    static Task<Response> make(Request) {
      Response response;
      response.stream = std::make_unique<ThrowingStream>();
      co_return response;
    }
  };
  server_->add("GET", "/broken", Maker::make);
  RawClient client(*server_);
  client.send("GET /broken HTTP/1.1\r\nHost: h\r\n\r\n");
  std::string answer = client.read_to_end();
  EXPECT_THAT(answer, EndsWith("4\r\nsome\r\n")) << "no last chunk: the body is not whole";
}

TEST_F(StreamTest, AServerThatIsDestroyedEndsItsStreams) {
  start();
  RawClient client(*server_);
  client.send(kGet);
  client.read_until("\r\n\r\n");
  server_->destroy_server();
  EXPECT_TRUE(wait_until_gone());
}

}  // namespace
}  // namespace perdure::http
