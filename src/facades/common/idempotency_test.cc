#include "facades/common/idempotency.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <map>

#include "facades/common/limits.h"

namespace perdure::facades {
namespace {

class FakeStore final : public IdempotencyStore {
 public:
  Task<Result<std::optional<journal::IdempotencyRecord>>> find(journal::IdempotencyScope scope,
                                                               UnixMillis now) override {
    auto found = records.find(scope);
    if (found == records.end() || found->second.expires <= now) co_return std::nullopt;
    co_return found->second;
  }
  void keep(journal::IdempotencyRecord record) { records[record.scope] = std::move(record); }

  std::map<journal::IdempotencyScope, journal::IdempotencyRecord> records;
};

class IdempotencyTest : public ::testing::Test {
 protected:
  using TicketResult = Result<Idempotency::Ticket>;

  std::future<TicketResult> start(std::string key, std::string body,
                                  std::string principal = "key_1") {
    auto future = boost::asio::co_spawn(
        loop_, idempotency_.begin({{"default"}, std::move(principal)}, "POST /x", key, body),
        boost::asio::use_future);
    loop_.restart();
    loop_.poll();
    return future;
  }
  static bool is_ready(std::future<TicketResult>& future) {
    return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  void poll() {
    loop_.restart();
    loop_.poll();
  }

  boost::asio::io_context loop_;
  FakeEnv env_;
  FakeStore store_;
  Idempotency idempotency_{store_, env_};
};

TEST_F(IdempotencyTest, TheFirstRequestDoesTheWorkAndTheSecondGetsItsAnswer) {
  {
    auto first = start("k", "{}").get();
    ASSERT_TRUE(first);
    EXPECT_FALSE(first->answered());
    auto record = first->record(201, "answer", {"sess_1"});
    ASSERT_TRUE(record);
    EXPECT_EQ(record->expires, env_.now() + kIdempotencyLifetimeMs);
    store_.keep(*record);
  }
  auto second = start("k", "{}").get();
  ASSERT_TRUE(second);
  ASSERT_TRUE(second->answered());
  EXPECT_EQ(second->answered()->status, 201);
  EXPECT_EQ(second->answered()->body, "answer");
  EXPECT_EQ(second->answered()->session, "sess_1");
}

TEST_F(IdempotencyTest, AnotherBodyUnderTheSameKeyIsAConflict) {
  store_.keep(*start("k", "{}").get()->record(202, {}, {"sess_1"}));
  auto other = start("k", "[]").get();
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kConflict);
}

TEST_F(IdempotencyTest, KeysOfTwoCallersAreTwoKeys) {
  store_.keep(*start("k", "{}").get()->record(202, {}, {"sess_1"}));
  EXPECT_FALSE(start("k", "{}", "key_2").get()->answered());
}

TEST_F(IdempotencyTest, AnExpiredAnswerIsForgotten) {
  store_.keep(*start("k", "{}").get()->record(202, {}, {"sess_1"}));
  env_.advance(kIdempotencyLifetimeMs);
  EXPECT_FALSE(start("k", "{}").get()->answered());
}

TEST_F(IdempotencyTest, ADuplicateWaitsForTheFirstAndThenGetsItsAnswer) {
  auto first = std::make_unique<TicketResult>(start("k", "{}").get());
  auto second = start("k", "{}");
  auto third = start("k", "{}");
  ASSERT_FALSE(is_ready(second));
  store_.keep(*(*first)->record(201, "answer", {"sess_1"}));
  first.reset();
  poll();
  ASSERT_TRUE(is_ready(second));
  ASSERT_TRUE(is_ready(third));
  EXPECT_EQ(second.get()->answered()->body, "answer");
  EXPECT_EQ(third.get()->answered()->body, "answer");
}

TEST_F(IdempotencyTest, IfTheFirstFailsExactlyOneWaiterTakesItsPlace) {
  auto first = std::make_unique<TicketResult>(start("k", "{}").get());
  auto second = start("k", "{}");
  auto third = start("k", "{}");
  first.reset();
  poll();
  EXPECT_NE(is_ready(second), is_ready(third));
}

TEST_F(IdempotencyTest, OtherKeysDoNotWait) {
  auto first = start("k", "{}").get();
  auto second = start("l", "{}");
  EXPECT_TRUE(is_ready(second));
}

TEST_F(IdempotencyTest, ATooLargeAnswerIsLeftOut) {
  auto ticket = start("k", "{}").get();
  auto record = ticket->record(201, std::string(kMaxStoredAnswer + 1, 'x'), {"sess_1"});
  EXPECT_EQ(record->body, "");
  EXPECT_EQ(record->status, 201);
}

TEST(IdempotencyKey, IsOptionalAndBounded) {
  http::Request request;
  EXPECT_EQ(idempotency_key(request), std::nullopt);
  request.headers.add("idempotency-key", std::string(256, 'k'));
  EXPECT_EQ(idempotency_key(request)->value().size(), 256u);
  request.headers.set("Idempotency-Key", std::string(257, 'k'));
  EXPECT_EQ(idempotency_key(request).error().param, "Idempotency-Key");
  request.headers.set("Idempotency-Key", "");
  EXPECT_FALSE(idempotency_key(request));
  request.headers.set("Idempotency-Key", "a");
  request.headers.add("Idempotency-Key", "a");
  EXPECT_FALSE(idempotency_key(request));
}

}  // namespace
}  // namespace perdure::facades
