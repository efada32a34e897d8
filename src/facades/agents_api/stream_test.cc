#include "facades/agents_api/stream.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <cctype>
#include <deque>
#include <set>

#include "base/json.h"
#include "facades/agents_api/limits.h"

namespace perdure::facades::agents_api {
namespace {

using Events = std::vector<std::shared_ptr<const engine::SessionEvent>>;
using Step = Result<std::optional<Events>>;

/// Gives what it was told to give, then the end.
class ScriptedSubscription final : public engine::Subscription {
 public:
  explicit ScriptedSubscription(std::deque<Step> steps) : steps_(std::move(steps)) {}
  async::Task<Step> next() override {
    if (steps_.empty()) co_return std::nullopt;
    Step step = std::move(steps_.front());
    steps_.pop_front();
    co_return step;
  }
  void wake() override {}

 private:
  std::deque<Step> steps_;
};

std::shared_ptr<const engine::SessionEvent> delta(std::string text) {
  engine::SessionEvent event;
  event.type = engine::EventType::kTextDelta;
  event.durable = false;
  event.session_id = {"sess_0123456789abcdefghijklmnop"};
  event.text = std::move(text);
  return std::make_shared<engine::SessionEvent>(std::move(event));
}

std::shared_ptr<const engine::SessionEvent> durable(std::uint64_t seq) {
  engine::SessionEvent event;
  event.type = engine::EventType::kError;
  event.place = {seq, 0};
  event.session_id = {"sess_0123456789abcdefghijklmnop"};
  event.error = engine::FailureInfo{"server_error", "No."};
  return std::make_shared<engine::SessionEvent>(std::move(event));
}

std::vector<std::optional<std::string>> pieces(std::deque<Step> steps, StreamOptions options) {
  boost::asio::io_context loop;
  EventStream stream(std::make_unique<ScriptedSubscription>(std::move(steps)), options);
  std::vector<std::optional<std::string>> out;
  do {
    auto future = boost::asio::co_spawn(loop, stream.next(), boost::asio::use_future);
    loop.restart();
    loop.run();
    out.push_back(future.get());
  } while (out.back());
  return out;
}

TEST(EventStream, OnlyDurableEventsHaveAnId) {
  auto out = pieces({Step(Events{durable(7), delta("x")})}, {.obfuscation = false});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_TRUE(out[0]->starts_with("id: evt_0123456789ab000000070000\ndata: {"));
  EXPECT_EQ(out[0]->find("id: ", 4), std::string::npos);
  EXPECT_NE(out[0]->find("\n\ndata: {\"type\":\"agent.session.turn.output_text.delta\""),
            std::string::npos);
  EXPECT_EQ(out[0]->find("event:"), std::string::npos) << "some clients stop at a message 'error'";
  EXPECT_EQ(out[0]->find("obfuscation"), std::string::npos);
}

TEST(EventStream, WhatIsReadyAtOnceIsOnePiece) {
  auto out = pieces({Step(Events{durable(1), durable(2)}), Step(Events{durable(3)})}, {});
  EXPECT_EQ(out.size(), 3u);
}

TEST(EventStream, AWakeUpGivesAnEmptyPieceAndTheStreamGoesOn) {
  auto out = pieces({Step(Events{}), Step(Events{durable(1)})}, {});
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0], "");
  EXPECT_NE(out[1], "");
}

TEST(EventStream, AFailedSubscriptionEndsTheBody) {
  auto out = pieces(
      {Step(Events{durable(1)}), fail(ErrorCode::kUnavailable, "gone"), Step(Events{durable(2)})},
      {});
  EXPECT_EQ(out.size(), 2u);
}

std::string data_of(const std::string& piece) {
  std::size_t begin = piece.find("data: ") + 6;
  return piece.substr(begin, piece.find('\n', begin) - begin);
}

TEST(EventStream, PaddingHidesTheLengthOfADelta) {
  std::set<std::size_t> sizes;
  std::size_t text = 0;
  for (; text < 40; ++text) {
    auto out = pieces({Step(Events{delta(std::string(text, 'a'))})}, {.seed = text});
    std::string data = data_of(*out[0]);
    sizes.insert(data.size());
    auto padding = parse_json(data)->at("obfuscation").as_string();
    EXPECT_FALSE(padding.empty());
    for (char c : padding) EXPECT_TRUE(std::isalnum(static_cast<unsigned char>(c)));
  }
  EXPECT_LE(sizes.size(), 2u);
  for (std::size_t size : sizes) EXPECT_EQ(size % kPaddingBucket, 0u);
}

TEST(EventStream, OtherEventsAreGivenAShortRandomPadding) {
  std::set<std::string> paddings;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto out = pieces({Step(Events{durable(1)})}, {.seed = seed});
    auto padding = parse_json(data_of(*out[0]))->at("obfuscation").as_string();
    EXPECT_GE(padding.size(), 1u);
    EXPECT_LE(padding.size(), kMaxShortPadding);
    paddings.emplace(padding);
  }
  EXPECT_GT(paddings.size(), 10u);
}

TEST(EventStream, TheResponseIsAnEventStream) {
  auto response =
      stream_response(201, std::make_unique<ScriptedSubscription>(std::deque<Step>{}), {});
  EXPECT_EQ(response.status, 201);
  EXPECT_TRUE(response.headers.get("content-type")->starts_with("text/event-stream"));
  EXPECT_TRUE(response.heartbeat.starts_with(":"));
}

}  // namespace
}  // namespace perdure::facades::agents_api
