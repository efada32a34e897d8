// What a node does with the answers of its store. The store and the work are stand-ins; two real
// nodes over a real database are in tests/cluster.
#include "cluster/membership.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "cluster/limits.h"

namespace perdure::cluster {
namespace {

using journal::LeaseRequest;
using journal::Leases;

constexpr std::uint64_t kSelf = 7, kOther = 9;

Shards first(std::size_t many) {
  Shards shards;
  for (std::size_t i = 0; i < many; ++i) shards.set(i);
  return shards;
}

/// One row of the store's table per shard, and what this node has asked of it.
class FakeStore final : public journal::LeaseStore {
 public:
  explicit FakeStore(Env& env) : env_(env) {}
  Task<Result<Leases>> renew(LeaseRequest request) override {
    co_await async::yield();
    requests.push_back(request);
    if (error) co_return std::unexpected(*error);
    held &= ~request.give_up;
    Leases leases{.held = held, .nodes = {{kSelf, "http://self"}}};
    for (std::size_t i = 0; i < journal::kShards; ++i)
      leases.holders[i] = held.test(i) ? kSelf : kOther;
    if (other) leases.nodes.push_back({kOther, "http://other"});
    leases.valid_until = env_.monotonic_ms() + 2'800;
    leases.changes = changed;
    co_return leases;
  }
  Task<Result<void>> rejoin() override {
    co_await async::yield();
    ++rejoined;
    error.reset();
    co_return Result<void>{};
  }
  Task<Result<std::uint64_t>> changes() override {
    co_await async::yield();
    co_return changed;
  }
  std::uint64_t self() const override { return kSelf; }

  Shards held;
  bool other = false;
  std::uint64_t changed = 0;
  std::optional<Error> error;
  std::vector<LeaseRequest> requests;
  int rejoined = 0;

 private:
  Env& env_;
};

class FakeWorker final : public Worker {
 public:
  Task<> take_up(Shards shards) override {
    taken |= shards;
    co_return;
  }
  Task<> give_up(Shards shards) override {
    asked |= shards;
    while (!may_end) co_await async::sleep_for(1);
    given |= shards;
  }
  Shards busy() const override { return working; }
  Task<> refresh(bool rows) override {
    refreshed_rows += rows;
    co_return;
  }

  Shards taken, asked, given, working;
  bool may_end = true;
  int refreshed_rows = 0;
};

class MembershipTest : public testing::Test {
 protected:
  MembershipTest() {
    async::spawn(loop_.get_executor(), "membership",
                 membership_.run("http://self", [this] { joined_ = true; }));
  }
  ~MembershipTest() override {
    store_.error.reset();
    worker_.may_end = true;
    async::spawn(loop_.get_executor(), "leave", membership_.leave());
    loop_.restart();
    loop_.run();
  }
  template <class Condition>
  void until(Condition condition) {
    for (int i = 0; i < 20'000 && !condition(); ++i) {
      loop_.restart();
      loop_.run_for(std::chrono::milliseconds(1));
      env_.advance(1);
    }
    ASSERT_TRUE(condition());
  }
  void renew() {
    const std::size_t before = store_.requests.size();
    async::spawn(loop_.get_executor(), "look", membership_.look_again());
    until([&] { return store_.requests.size() > before; });
    loop_.restart();
    loop_.poll();
  }
  /// A key whose session is in a shard of the first `many`, or not.
  SessionKey key_in(std::size_t many, bool inside) {
    while (true) {
      SessionKey key{{"p"}, new_session_id(env_)};
      if ((journal::shard_of(key) < many) == inside) return key;
    }
  }

  FakeEnv env_;
  boost::asio::io_context loop_;
  FakeStore store_{env_};
  FakeWorker worker_;
  Membership membership_{env_, loop_.get_executor(), store_, worker_};
  bool joined_ = false;
};

TEST_F(MembershipTest, WhatTheStoreGivesIsTakenUpOnceAndMayBeUsed) {
  store_.held = first(100);
  until([&] { return joined_; });
  until([&] { return worker_.taken == first(100); });
  EXPECT_TRUE(membership_.may_use(key_in(100, true)));
  auto elsewhere = membership_.may_use(key_in(100, false));
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().reason, kElsewhere);
  worker_.taken.reset();
  renew();
  EXPECT_TRUE(worker_.taken.none());
}

TEST_F(MembershipTest, NothingMayBeUsedOnceTheLeaseHasRunOut) {
  store_.held = first(256);
  until([&] { return joined_; });
  const SessionKey key = key_in(256, true);
  ASSERT_TRUE(membership_.may_use(key));
  store_.error = Error{ErrorCode::kUnavailable, "away", {}, {}};
  env_.advance(journal::kLeaseMs);
  auto unsure = membership_.may_use(key);
  ASSERT_FALSE(unsure);
  EXPECT_EQ(unsure.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(unsure.error().reason, kElsewhere);
  // Nobody took over: all goes on where it was.
  store_.error.reset();
  renew();
  EXPECT_TRUE(membership_.may_use(key));
  EXPECT_TRUE(worker_.asked.none());
}

TEST_F(MembershipTest, HalfIsHandedOverToASecondNodeAndNotBeforeItIsQuiet) {
  store_.held = first(256);
  until([&] { return joined_; });
  worker_.may_end = false;
  worker_.working = first(64);
  store_.other = true;
  renew();
  until([&] { return worker_.asked.any(); });
  EXPECT_TRUE((worker_.asked & worker_.working).none()) << "shards that rest go first";
  EXPECT_TRUE((membership_.held() & worker_.asked).none());
  renew();
  for (const LeaseRequest& request : store_.requests) EXPECT_TRUE(request.give_up.none());
  worker_.may_end = true;
  until([&] { return store_.held.count() == 128; });
  renew();
  EXPECT_EQ(membership_.held().count(), 128u);
  EXPECT_TRUE((membership_.held() & worker_.working) == worker_.working);
}

TEST_F(MembershipTest, WhoWasEndedForgetsAllAndJoinsAnew) {
  store_.held = first(200);
  until([&] { return joined_; });
  const SessionKey key = key_in(200, true);
  worker_.may_end = false;
  store_.error = Error{ErrorCode::kFenced, "ended", {}, {}};
  renew();
  until([&] { return worker_.asked.all(); });
  EXPECT_FALSE(membership_.may_use(key));
  EXPECT_EQ(store_.rejoined, 0) << "something is still being written";
  worker_.taken.reset();
  worker_.may_end = true;
  until([&] { return store_.rejoined == 1; });
  until([&] { return worker_.taken == first(200); });
  EXPECT_TRUE(membership_.may_use(key));
}

TEST_F(MembershipTest, WhatOthersChangeIsReadAgain) {
  store_.held = first(128);
  store_.other = true;
  until([&] { return joined_; });
  renew();
  EXPECT_EQ(worker_.refreshed_rows, 0);
  store_.changed = 5;
  until([&] { return worker_.refreshed_rows == 1; });
  renew();
  EXPECT_EQ(worker_.refreshed_rows, 1);
}

TEST_F(MembershipTest, TheHolderOfASessionIsKnown) {
  store_.held = first(128);
  store_.other = true;
  until([&] { return joined_; });
  EXPECT_EQ(membership_.holder_of(key_in(128, true))->epoch, kSelf);
  EXPECT_EQ(membership_.holder_of(key_in(128, false))->url, "http://other");
}

}  // namespace
}  // namespace perdure::cluster
