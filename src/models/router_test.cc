#include "models/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <set>

#include "async/task.h"
#include "models/timed_call.h"

namespace perdure::models {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A provider that is never asked, or answers never.
class NamedProvider final : public Provider {
 public:
  NamedProvider(std::string name, Capabilities can) : name_(std::move(name)), can_(can) {}
  std::string_view name() const override { return name_; }
  std::string_view kind() const override { return "fake"; }
  Capabilities capabilities() const override { return can_; }
  Task<std::expected<ModelOutput, ModelFailure>> generate(ModelRequest, ModelSink*,
                                                          async::CancelToken cancel) override {
    async::Signal ended(co_await boost::asio::this_coro::executor);
    cancel.on_cancel([&] { ended.notify(); });
    co_await ended.wait();
    co_return std::unexpected(ModelFailure{.code = "cancelled", .message = "cancelled"});
  }

 private:
  std::string name_;
  Capabilities can_;
};

ModelFailure failure(std::string code, bool retryable = true, std::int64_t retry_after_ms = 0) {
  return {.code = std::move(code),
          .message = "It says no.",
          .retryable = retryable,
          .retry_after_ms = retry_after_ms};
}

class RouterTest : public testing::Test {
 protected:
  /// The pools of the model "m", by default each of the provider "one".
  void use(std::vector<PoolEntry> pools, std::map<std::string, CallRules, std::less<>> rules = {},
           std::int64_t context_window = 0) {
    std::vector<std::unique_ptr<Provider>> providers;
    providers.push_back(std::make_unique<NamedProvider>("one", Capabilities{.verbosity = true}));
    providers.push_back(
        std::make_unique<NamedProvider>("two", Capabilities{.verbosity = true, .images = true}));
    ModelEntry model{.name = "m", .context_window = context_window};
    for (PoolEntry& pool : pools) {
      if (pool.provider.empty()) pool.provider = "one";
      model.pools.push_back(pool.name);
    }
    auto made = Catalog::make(std::move(providers), {model}, std::move(pools), std::move(rules));
    ASSERT_TRUE(made) << made.error().message;
    router_.reset();
    catalog_ = std::make_unique<Catalog>(std::move(*made));
    router_ = std::make_unique<Router>(*catalog_, env_, io_.get_executor());
  }

  Route route(std::string session = "s", std::vector<Tried> tried = {}) {
    return router_->route({.model = "m", .session = std::move(session), .tried = std::move(tried)});
  }
  static std::string why(const Route& route, std::string_view pool) {
    for (const Candidate& candidate : route.candidates)
      if (candidate.pool == pool) return candidate.rejected;
    return "it was not looked at";
  }

  /// A call that asks to be let in.
  struct Asked {
    std::optional<std::expected<Pool::Lease, ModelFailure>> result;
    async::CancelSource cancel;
    bool admitted() const { return result && result->has_value(); }
    std::string refused() const {
      return result && !result->has_value() ? result->error().code : "";
    }
  };
  std::shared_ptr<Asked> ask(const std::string& pool, CallTicket ticket = {.project = "p"}) {
    auto asked = std::make_shared<Asked>();
    async::spawn(io_.get_executor(), "ask", keep(router_.get(), pool, ticket, asked));
    settle();
    return asked;
  }
  static Task<> keep(Router* router, std::string pool, CallTicket ticket,
                     std::shared_ptr<Asked> asked) {
    asked->result.emplace(
        co_await router->admit(std::move(pool), std::move(ticket), asked->cancel.token()));
  }
  void end(Asked& asked, Pool::Answer answer = ModelOutput{}) {
    ASSERT_TRUE(asked.admitted()) << "it waits, or was refused: " << asked.refused();
    (*asked.result)->settle(answer);
    asked.result.reset();
    settle();
  }
  void settle() {
    io_.restart();
    while (io_.poll_one() > 0) {
    }
  }
  void fail_calls(const std::string& pool, int count, const std::string& code) {
    for (int i = 0; i < count; ++i) {
      auto asked = ask(pool);
      ASSERT_TRUE(asked->admitted()) << i << " " << asked->refused();
      end(*asked, std::unexpected(failure(code)));
    }
  }
  PoolStatus status(std::string_view pool) {
    for (PoolStatus& status : router_->status())
      if (status.entry->name == pool) return status;
    return {};
  }

  FakeEnv env_;
  boost::asio::io_context io_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Router> router_;
};

// ---- choosing -----------------------------------------------------------------------------------

TEST_F(RouterTest, ALowerPriorityNumberComesFirstAndReservedCapacityWithinIt) {
  use({{.name = "spare", .priority = 1},
       {.name = "flex", .pool_class = PoolClass::kFlex},
       {.name = "paid"},
       {.name = "ptu", .pool_class = PoolClass::kReserved}});
  Route chosen = route();
  EXPECT_EQ(chosen.pool, "ptu");
  EXPECT_EQ(chosen.upstream, "m");
  EXPECT_THAT(chosen.candidates, ElementsAre(Candidate{"ptu", 1, ""}, Candidate{"paid", 2, ""},
                                             Candidate{"flex", 3, ""}, Candidate{"spare", 4, ""}));
}

TEST_F(RouterTest, ASessionStaysWithItsPoolAndSessionsSpreadByWeight) {
  use({{.name = "a"}, {.name = "b", .weight = 3}});
  int heavy = 0;
  for (int i = 0; i < 400; ++i) {
    std::string session = "s" + std::to_string(i);
    std::string first = route(session).pool;
    EXPECT_EQ(route(session).pool, first);
    heavy += first == "b" ? 1 : 0;
  }
  EXPECT_NEAR(heavy, 300, 40);
  use({{.name = "a"}, {.name = "b", .weight = 3}, {.name = "c"}});
  int moved_elsewhere = 0;
  for (int i = 0; i < 400; ++i) {
    std::string session = "s" + std::to_string(i);
    std::string now = route(session).pool;
    use({{.name = "a"}, {.name = "b", .weight = 3}});
    moved_elsewhere += now != "c" && now != route(session).pool ? 1 : 0;
    use({{.name = "a"}, {.name = "b", .weight = 3}, {.name = "c"}});
  }
  EXPECT_EQ(moved_elsewhere, 0) << "a new pool takes sessions, it does not shuffle the others";
}

TEST_F(RouterTest, NoPoolTakesMuchMoreThanItsShare) {
  use({{.name = "a"}, {.name = "b"}});
  std::vector<std::shared_ptr<Asked>> running;
  std::map<std::string, int> load;
  for (int i = 0; i < 40; ++i) {  // one session, whose hash always says the same
    std::string pool = route("hot").pool;
    ++load[pool];
    running.push_back(ask(pool));
  }
  EXPECT_GE(load["a"], 14);
  EXPECT_GE(load["b"], 14);
}

TEST_F(RouterTest, ReservedCapacityThatIsFullSpillsAndIsComeBackTo) {
  use({{.name = "ptu", .pool_class = PoolClass::kReserved, .max_in_flight = 1}, {.name = "paid"}});
  auto running = ask(route().pool);
  Route spilled = route();
  EXPECT_EQ(spilled.pool, "paid");
  EXPECT_EQ(why(spilled, "ptu"), "it is full");
  end(*running);
  EXPECT_EQ(route().pool, "ptu");
}

TEST_F(RouterTest, ReservedCapacityThatFilledMeanwhileTurnsTheCallAway) {
  use({{.name = "ptu", .pool_class = PoolClass::kReserved, .max_in_flight = 1}, {.name = "paid"}});
  auto running = ask("ptu");
  auto second = ask("ptu", {.project = "p", .may_move = true});
  ASSERT_EQ(second->refused(), "server_overloaded");
  EXPECT_TRUE(second->result->error().unsent);
  EXPECT_EQ(route("s", {{"ptu", ""}}).pool, "paid");
  auto third = ask("ptu");  // nowhere else to go: it waits
  EXPECT_FALSE(third->result);
  end(*running);
  EXPECT_TRUE(third->admitted());
}

TEST_F(RouterTest, ARateLimitOfReservedCapacitySendsTheCallOn) {
  use({{.name = "ptu", .pool_class = PoolClass::kReserved}, {.name = "paid", .priority = 1}});
  auto asked = ask("ptu");
  end(*asked, std::unexpected(failure("rate_limit_exceeded")));
  RouteQuery query{.model = "m", .session = "s", .tried = {{"ptu", "rate_limit_exceeded"}}};
  EXPECT_TRUE(router_->after_failure(query, "ptu", failure("rate_limit_exceeded"), 1).elsewhere);
  EXPECT_EQ(router_->route(query).pool, "paid");
}

TEST_F(RouterTest, AServiceTierPrefersItsClass) {
  use({{.name = "paid"}, {.name = "cheap", .priority = 5, .pool_class = PoolClass::kFlex}});
  RouteQuery query{.model = "m", .session = "s"};
  EXPECT_EQ(router_->route(query).pool, "paid");
  query.service_tier = "flex";
  query.needs.service_tier = true;
  Route flexible = router_->route(query);
  EXPECT_EQ(flexible.pool, "cheap");
  EXPECT_EQ(why(flexible, "paid"), "has no service tiers");
}

TEST_F(RouterTest, APoolThatCannotTakeTheRequestIsRejectedWithTheReason) {
  use({{.name = "blind", .context_window = 1'000'000},
       {.name = "small", .provider = "two", .context_window = 1000},
       {.name = "right", .provider = "two", .priority = 9, .context_window = 9000}});
  RouteQuery query{.model = "m", .session = "s", .input_tokens = 5000};
  query.needs.images = true;
  Route chosen = router_->route(query);
  EXPECT_EQ(chosen.pool, "right");
  EXPECT_EQ(why(chosen, "blind"), "takes no images");
  EXPECT_EQ(why(chosen, "small"), "its context window of 1000 tokens is too small for about 5000");
  EXPECT_TRUE(router_->capabilities("m")->images) << "one of the pools can";
  EXPECT_FALSE(router_->capabilities("m")->remote_images);

  query.needs.remote_images = true;
  Route none = router_->route(query);
  EXPECT_EQ(none.pool, "");
  EXPECT_EQ(none.wait_ms, 0) << "waiting would not help";
  EXPECT_EQ(none.failure.code, "invalid_request");
  EXPECT_THAT(none.failure.message, HasSubstr("'right': takes no images by URL"));
}

TEST_F(RouterTest, APoolThatCannotBeAskedToCacheSoLongIsRejected) {
  use({{.name = "short"}});
  RouteQuery query{.model = "m", .session = "s"};
  query.needs.cache_minutes = cache_minutes_of("30m");
  Route none = router_->route(query);
  EXPECT_EQ(none.pool, "");
  EXPECT_THAT(none.failure.message, HasSubstr("'short': cannot be asked to cache prompts so long"));
  EXPECT_EQ(cache_minutes_of("12h"), 720);
  EXPECT_EQ(cache_minutes_of(""), 0);
}

TEST_F(RouterTest, WhereEveryWindowSeemsTooSmallTheWidestIsTried) {
  use({{.name = "small", .context_window = 1000}, {.name = "less", .context_window = 2000}});
  EXPECT_EQ(router_->route({.model = "m", .session = "s", .input_tokens = 5000}).pool, "less");
}

TEST_F(RouterTest, AContextThatWasTooLongGoesToALargerWindowOnly) {
  use({{.name = "small", .context_window = 1000},
       {.name = "same", .priority = 1, .context_window = 1000},
       {.name = "large", .priority = 2, .context_window = 2000}});
  ModelFailure too_long = failure("context_length_exceeded", false);
  RouteQuery query{.model = "m", .session = "s", .tried = {{"small", too_long.code}}};
  EXPECT_TRUE(router_->after_failure(query, "small", too_long, 1).elsewhere);
  Route next = router_->route(query);
  EXPECT_EQ(next.pool, "large");
  EXPECT_THAT(why(next, "same"), HasSubstr("no larger"));
  query.tried.push_back({"large", too_long.code});
  Router::Next last = router_->after_failure(query, "large", too_long, 2);
  EXPECT_FALSE(last.elsewhere);
  EXPECT_EQ(last.pause_ms, 0);
}

// ---- after a failure ----------------------------------------------------------------------------

TEST_F(RouterTest, WhatAnotherPoolCouldAnswerGoesThereAndTheRestDoesNot) {
  use({{.name = "a"},
       {.name = "same account", .priority = 1},
       {.name = "b", .provider = "two", .priority = 2}});
  auto next = [&](ModelFailure failed) {
    return router_->after_failure({.model = "m", .session = "s", .tried = {{"a", failed.code}}},
                                  "a", failed, 1);
  };
  for (const char* code : {"server_error", "request_timeout", "connection_failed"})
    EXPECT_TRUE(next(failure(code)).elsewhere) << code;
  for (const char* code : {"authentication_error", "credit_balance_exhausted"})
    EXPECT_TRUE(next(failure(code, false)).elsewhere) << code;
  for (const char* code : {"invalid_request", "cyber_policy", "max_output_tokens"}) {
    EXPECT_FALSE(next(failure(code, false)).elsewhere) << code;
    EXPECT_EQ(next(failure(code, false)).pause_ms, 0) << code;
  }
  EXPECT_EQ(route("s", {{"a", "authentication_error"}}).pool, "b");
  EXPECT_EQ(route("s", {{"a", "server_error"}}).pool, "same account");
}

TEST_F(RouterTest, WithOnePoolAnAttemptIsRepeatedAfterAJitteredPauseSoManyTimes) {
  use({{.name = "a"}}, {{"one", {.attempts = 4}}});
  RouteQuery query{.model = "m", .session = "s", .tried = {{"a", "server_error"}}};
  std::set<std::int64_t> pauses;
  for (int attempt = 1; attempt < 4; ++attempt)
    for (int i = 0; i < 20; ++i) {
      auto next = router_->after_failure(query, "a", failure("server_error"), attempt);
      EXPECT_GT(next.pause_ms, 0);
      EXPECT_LE(next.pause_ms, kFirstRetryMs << (attempt - 1));
      pauses.insert(next.pause_ms);
    }
  EXPECT_GT(pauses.size(), 50u) << "they would all come back at once";
  auto asked_for = router_->after_failure(query, "a", failure("server_error", true, 7000), 1);
  EXPECT_GE(asked_for.pause_ms, 7000);
  EXPECT_EQ(router_->after_failure(query, "a", failure("server_error"), 4).pause_ms, 0);
}

TEST_F(RouterTest, RepeatedCallsAreAShareOfAllAndTheRestWaits) {
  use({{.name = "a"}}, {{"one", {.retry_percent = 10, .retry_floor = 2}}});
  std::vector<Tried> tried = {{"a", "server_error"}};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(route("s", tried).pool, "a");
    auto asked = ask("a", {.project = "p", .retry = true});
    ASSERT_TRUE(asked->admitted());
    end(*asked);
  }
  Route none = route("s", tried);
  EXPECT_EQ(none.pool, "");
  EXPECT_GT(none.wait_ms, 0);
  EXPECT_THAT(why(none, "a"), HasSubstr("its share of repeated calls"));
  EXPECT_EQ(ask("a", {.project = "p", .retry = true})->refused(), "server_overloaded");
  for (int i = 0; i < 10; ++i) {
    auto asked = ask("a");
    ASSERT_TRUE(asked->admitted()) << "first calls are not meant";
    end(*asked);
  }
  EXPECT_EQ(route("s", tried).pool, "a") << "ten calls more allow one more";
}

// ---- the breaker --------------------------------------------------------------------------------

TEST_F(RouterTest, APoolThatFailsIsLeftAloneAndTriedOutAgain) {
  use({{.name = "a"}, {.name = "b", .provider = "two", .priority = 1}});
  fail_calls("a", 9, "server_error");
  EXPECT_EQ(route().pool, "a");
  fail_calls("a", 1, "server_error");
  Route other = route();
  EXPECT_EQ(other.pool, "b");
  EXPECT_THAT(why(other, "a"), HasSubstr("its breaker is open"));
  EXPECT_EQ(status("a").state, "open");
  EXPECT_EQ(status("a").last_error, "It says no.");
  EXPECT_EQ(ask("a")->refused(), "server_overloaded");

  env_.advance(kFirstCooldownMs);
  ASSERT_EQ(route().pool, "a");
  auto probe = ask("a");
  ASSERT_TRUE(probe->admitted());
  EXPECT_EQ(route().pool, "b") << "one probe at a time" << status("a").state;
  auto waits = ask("a");
  EXPECT_FALSE(waits->result);
  end(*probe, std::unexpected(failure("server_error")));
  EXPECT_EQ(waits->refused(), "server_overloaded") << "the probe failed: nobody waits for it";
  env_.advance(kFirstCooldownMs);
  EXPECT_EQ(route().pool, "b") << "the second pause is longer";
  env_.advance(kFirstCooldownMs);
  auto again = ask(route().pool);
  auto behind = ask("a");
  end(*again);
  EXPECT_TRUE(behind->admitted()) << "the pool is back";
  EXPECT_EQ(status("a").state, "ready");
}

TEST_F(RouterTest, FiveTimeOutsInARowOpenTheBreakerAndAnAnswerBetweenThemDoesNot) {
  use({{.name = "a"}});
  fail_calls("a", 4, "request_timeout");
  end(*ask("a"));
  fail_calls("a", 1, "request_timeout");
  EXPECT_EQ(route().pool, "a") << "the answer begins the row anew";
  env_.advance(120'000);  // too few calls of this minute for the share of failures to count
  fail_calls("a", 3, "request_timeout");
  EXPECT_EQ(route().pool, "a");
  fail_calls("a", 1, "request_timeout");
  EXPECT_LT(status("a").recent_calls, kBreakerCalls);
  Route none = route();
  EXPECT_EQ(none.pool, "");
  EXPECT_GE(none.wait_ms, kFirstCooldownMs);
  EXPECT_EQ(none.failure.code, "server_overloaded");
}

TEST_F(RouterTest, ARefusalIsAnAnswer) {
  use({{.name = "a"}});
  fail_calls("a", 40, "invalid_request");
  EXPECT_EQ(status("a").state, "ready");
}

TEST_F(RouterTest, FailuresOfLongAgoAreForgotten) {
  use({{.name = "a"}});
  fail_calls("a", 9, "server_error");
  env_.advance(120'000);
  fail_calls("a", 9, "server_error");
  EXPECT_EQ(status("a").state, "ready");
}

TEST_F(RouterTest, AProbeThatIsCancelledLeavesThePlaceToAnother) {
  use({{.name = "a"}});
  fail_calls("a", 10, "server_error");
  env_.advance(kFirstCooldownMs);
  auto probe = ask("a");
  ASSERT_TRUE(probe->admitted());
  probe->result.reset();  // dropped without an outcome
  EXPECT_TRUE(ask("a")->admitted());
}

// ---- pacing -------------------------------------------------------------------------------------

TEST_F(RouterTest, NoMoreThanSoManyCallsRunAndTheOthersWaitInOrder) {
  use({{.name = "a", .max_in_flight = 2}});
  std::vector<std::shared_ptr<Asked>> asked;
  for (int i = 0; i < 5; ++i) asked.push_back(ask("a"));
  EXPECT_TRUE(asked[1]->admitted());
  EXPECT_FALSE(asked[2]->result);
  EXPECT_EQ(status("a").waiting, 3);
  EXPECT_EQ(status("a").state, "full");
  end(*asked[0]);
  EXPECT_TRUE(asked[2]->admitted());
  EXPECT_FALSE(asked[3]->result);
}

TEST_F(RouterTest, ProjectsTakeTurns) {
  use({{.name = "a", .max_in_flight = 1}});
  auto running = ask("a", {.project = "greedy"});
  std::vector<std::shared_ptr<Asked>> greedy;
  for (int i = 0; i < 10; ++i) greedy.push_back(ask("a", {.project = "greedy"}));
  auto modest = ask("a", {.project = "modest"});
  end(*running);
  EXPECT_TRUE(modest->admitted()) << "ten others of one project were there before";
  end(*modest);
  EXPECT_TRUE(greedy[0]->admitted());
}

TEST_F(RouterTest, ACancelLeavesTheQueue) {
  use({{.name = "a", .max_in_flight = 1}});
  auto running = ask("a");
  auto waits = ask("a");
  auto last = ask("a");
  waits->cancel.cancel();
  settle();
  EXPECT_EQ(waits->refused(), "cancelled");
  EXPECT_EQ(status("a").waiting, 1);
  end(*running);
  EXPECT_TRUE(last->admitted());
  end(*last);
  EXPECT_EQ(status("a").in_flight, 0);
}

TEST_F(RouterTest, RequestsAMinuteAreSpacedByTheClock) {
  use({{.name = "a", .requests_per_minute = 60}});
  for (int i = 0; i < 60; ++i) end(*ask("a"));
  auto waits = ask("a");
  EXPECT_FALSE(waits->result);
  env_.advance(999);
  auto behind = ask("a");
  EXPECT_FALSE(waits->result);
  env_.advance(1);
  auto third = ask("a");  // anything that happens makes the pool look at the clock
  EXPECT_TRUE(waits->admitted());
  EXPECT_FALSE(behind->result);
  behind->cancel.cancel();
  third->cancel.cancel();
  settle();
}

TEST_F(RouterTest, TokensAMinuteAreEstimatedAndSettled) {
  use({{.name = "a", .tokens_per_minute = 1000}});
  auto first = ask("a", {.project = "p", .tokens = 900});
  ASSERT_TRUE(first->admitted());
  auto waits = ask("a", {.project = "p", .tokens = 900});
  EXPECT_FALSE(waits->result);
  ModelOutput cheap;
  cheap.usage = {.input_tokens = 50, .output_tokens = 50};
  cheap.usage_known = true;
  end(*first, cheap);  // it took 100 only
  EXPECT_TRUE(waits->admitted());
  ModelOutput dear;
  dear.usage = {.input_tokens = 1900, .output_tokens = 0};
  dear.usage_known = true;
  end(*waits, dear);
  auto third = ask("a", {.project = "p", .tokens = 5000});
  EXPECT_FALSE(third->result) << "what was taken too much is waited for";
  env_.advance(120'000);
  auto more = ask("a", {.project = "p", .tokens = 1});
  EXPECT_TRUE(third->admitted()) << "more than a minute's worth needs a full bucket, not more";
  more->cancel.cancel();
  settle();
}

TEST_F(RouterTest, APoolThatIsToldToSlowDownPauses) {
  use({{.name = "a"}});
  end(*ask("a"), std::unexpected(failure("rate_limit_exceeded", true, 2000)));
  EXPECT_EQ(status("a").state, "rate_limited");
  EXPECT_EQ(route().pool, "a") << "a short pause is waited for in the queue";
  auto waits = ask("a");
  EXPECT_FALSE(waits->result);
  env_.advance(2000);
  auto other = ask("a");
  EXPECT_TRUE(waits->admitted());
  EXPECT_TRUE(other->admitted());
  end(*other, std::unexpected(failure("rate_limit_exceeded", true, 3'600'000)));
  EXPECT_EQ(route().pool, "");
  EXPECT_GE(route().wait_ms, 3'600'000) << "a long one by a durable timer";
}

TEST_F(RouterTest, RestartedCallsComeAFewAtATimeAndMoreAsTheyAreAnswered) {
  use({{.name = "a"}});
  std::vector<std::shared_ptr<Asked>> asked;
  for (int i = 0; i < 40; ++i) asked.push_back(ask("a", {.project = "p", .restarted = true}));
  EXPECT_EQ(status("a").in_flight, kRestartedAtOnce);
  EXPECT_TRUE(ask("a")->admitted()) << "who comes now does not wait behind them";
  end(*asked[0]);
  EXPECT_EQ(status("a").in_flight, kRestartedAtOnce + 1) << "one ended, two came";
  for (auto& one : asked) one->cancel.cancel();
  settle();
}

// ---- time ---------------------------------------------------------------------------------------

TEST_F(RouterTest, AnAttemptThatTakesTooLongFailsAndSaysWhichLimit) {
  use({{.name = "a"}});
  NamedProvider provider("slow", {});
  async::CancelSource cancel;
  std::optional<std::expected<ModelOutput, ModelFailure>> answer;
  auto call = [](Provider* asked, async::CancelToken token,
                 std::optional<std::expected<ModelOutput, ModelFailure>>* kept,
                 std::int64_t total) -> Task<> {
    kept->emplace(co_await timed_call(asked, {}, nullptr, token, total));
  };
  async::spawn(io_.get_executor(), "call", call(&provider, cancel.token(), &answer, 20));
  io_.restart();
  io_.run();
  ASSERT_TRUE(answer && !*answer);
  EXPECT_EQ(answer->error().code, "request_timeout");
  EXPECT_TRUE(answer->error().retryable);
  EXPECT_THAT(answer->error().message, HasSubstr("within 20 ms, the total time of one attempt"));

  answer.reset();
  async::spawn(io_.get_executor(), "call", call(&provider, cancel.token(), &answer, 60'000));
  settle();
  cancel.cancel();
  io_.restart();
  io_.run();
  ASSERT_TRUE(answer && !*answer);
  EXPECT_EQ(answer->error().code, "cancelled");
}

TEST_F(RouterTest, AClockThatIsSetBackKeepsNobodyOut) {
  use({{.name = "a"}});
  fail_calls("a", 10, "server_error");
  env_.advance(-86'400'000);
  EXPECT_LE(route().wait_ms, kFirstCooldownMs * 2);
  env_.advance(kFirstCooldownMs);
  EXPECT_TRUE(ask("a")->admitted());
}

}  // namespace
}  // namespace perdure::models
