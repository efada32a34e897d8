// Money: limits that hold, and calls that are charged exactly once whatever happens between their
// intent and their end. See engine_test_support.h.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/limits.h"
#include "journal/entry.h"
#include "models/router.h"

namespace perdure::engine {
namespace {

using journal::Budget;
using journal::BudgetScope;
using journal::BudgetWindow;
using journal::UsageBy;
using journal::UsageCounts;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// Of the usual answer: 10 tokens read, 5 written.
constexpr models::Money kAnswerCost = 60'000;
/// The least that is put aside for a call: its answer alone.
constexpr models::Money kLongestAnswer = 1'000'000;
/// Ten times what "priced-model" costs, whatever the token.
constexpr models::Price kDear{10'000'000, 1'000'000, 20'000'000, 100'000'000};

class EngineBudgetTest : public EngineTest {
 protected:
  CreateSession command(std::string text = "hello", std::string model = "priced-model") {
    CreateSession command;
    command.project = world.project;
    command.principal = "tester";
    command.agent.id = "agt_saved";
    command.agent.model = std::move(model);
    if (!text.empty()) command.input.push_back({{std::move(text)}});
    return command;
  }
  SessionKey create(CreateSession command) {
    auto created = world.run(world.engine->create_session(std::move(command)));
    if (!created) throw std::runtime_error(created.error().message);
    return created->session->key;
  }
  SessionKey limited(models::Money limit) {
    CreateSession limited = command();
    limited.spend_limit = limit;
    return create(std::move(limited));
  }
  void put(BudgetScope scope, std::string id, models::Money limit,
           BudgetWindow window = BudgetWindow::kTotal) {
    auto kept = world.run(world.engine->accounts().put_budget({.project = world.project,
                                                               .scope = scope,
                                                               .id = std::move(id),
                                                               .limit = limit,
                                                               .window = window}));
    ASSERT_TRUE(kept) << kept.error().message;
  }
  Budget budget() { return world.run(world.engine->accounts().budgets(world.project))->front(); }
  /// The engine starts anew, and "pooled" is "priced-model" with these pools.
  void use(std::vector<models::PoolEntry> pools, bool recover = false) {
    world.stop();
    world.models = {priced_model()};
    world.models.front().name = "pooled";
    world.models.front().provider.clear();
    world.more_providers.clear();
    for (models::PoolEntry& pool : pools) {
      if (pool.provider.empty()) pool.provider = "fake";
      if (pool.provider != "fake") world.more_providers.push_back(pool.provider);
      world.models.front().pools.push_back(pool.name);
    }
    world.pools = std::move(pools);
    world.start(recover);
  }
  /// The next call fails at its provider, which says what it used: 10 tokens read and one written.
  void fail_next() {
    models::ModelFailure failure{.code = "server_error", .message = "no", .retryable = true};
    failure.usage = {10, 0, 1, 0};
    failure.usage_known = true;
    world.outside.answers.push_back({.failure = failure});
  }
  /// What was put aside, call by call.
  std::vector<models::Money> reservations() {
    std::vector<models::Money> amounts;
    for (const journal::Append& append : world.faults.appended)
      for (const journal::Reservation& reservation : append.reserve)
        amounts.push_back(reservation.amount);
    return amounts;
  }
  TurnView idle_turn(const SessionKey& key) {
    EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
    return world.run(world.engine->turns(key, {}))->data.front();
  }
  std::string code(const TurnView& turn) { return turn.error ? turn.error->code : "none"; }
  UsageCounts total() {
    auto rows = world.run(world.engine->accounts().usage({.project = world.project}));
    if (!rows) throw std::runtime_error(rows.error().message);
    return rows->empty() ? UsageCounts() : rows->front().counts;
  }
  /// What the store says, the session says, and the budget says, is one number.
  void expect_spent(const SessionKey& key, models::Money cost, std::int64_t calls) {
    EXPECT_EQ(world.view(key)->spent, cost);
    EXPECT_EQ(world.view(key)->reserved, 0);
    EXPECT_EQ(total().cost, cost);
    EXPECT_EQ(total().calls, calls);
    EXPECT_THAT(*world.run(world.journal->reservations(key)), IsEmpty());
    for (const Budget& kept : *world.run(world.journal->budgets(world.project))) {
      EXPECT_EQ(kept.spent, cost);
      EXPECT_EQ(kept.reserved, 0);
      EXPECT_EQ(budget(), kept) << "the ledger is what the store has";
    }
    models::Money by_turn = 0;
    for (const TurnUsage& turn :
         world.run(world.engine->accounts().session_usage(key, {}))->turns.data)
      by_turn += turn.counts.cost;
    EXPECT_EQ(by_turn, cost);
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, EngineBudgetTest, all_variants(), variant_name);

// ---- the limit of a session ---------------------------------------------------------------------

TEST_P(EngineBudgetTest, ACallThatDoesNotFitIsNotMade) {
  SessionKey key = limited(kLongestAnswer);  // the answer fits, the question does not
  TurnView turn = idle_turn(key);
  EXPECT_EQ(turn.status, TurnStatus::kFailed);
  EXPECT_EQ(code(turn), "session_budget_exceeded");
  EXPECT_THAT(turn.error->message, HasSubstr("its limit is $0.001, $0.00 are spent"));
  EXPECT_THAT(world.outside.requests, IsEmpty());
  EXPECT_EQ(total().calls, 0);
}

TEST_P(EngineBudgetTest, WhereOnlyTheLongestAnswerDoesNotFitTheSentenceSaysHowToHelp) {
  world.stop();
  models::ModelEntry talkative = priced_model();
  talkative.name = "talkative-model";
  talkative.max_output_tokens = 0;
  world.models = {talkative};
  world.start();
  auto refused = [this](std::string model, models::Money limit) {
    CreateSession limited = command("hello", std::move(model));
    limited.spend_limit = limit;
    return idle_turn(create(std::move(limited))).error->message;
  };
  EXPECT_THAT(refused("talkative-model", 10 * kLongestAnswer),
              HasSubstr("an answer of 8192 tokens: to reserve less, set max_output_tokens of "
                        "[[model]] 'talkative-model'"));
  EXPECT_THAT(refused("talkative-model", 10), Not(HasSubstr("max_output_tokens")))
      << "the question alone is too dear";
  EXPECT_THAT(refused("priced-model", kLongestAnswer), Not(HasSubstr("max_output_tokens")))
      << "it has one";
}

TEST_P(EngineBudgetTest, ASessionSpendsUpToItsLimitAndItsNextTurnFails) {
  SessionKey key = limited(kLongestAnswer + 2 * kAnswerCost);
  EXPECT_EQ(idle_turn(key).status, TurnStatus::kCompleted);
  EXPECT_EQ(world.outside.requests.back().max_output_tokens, 100) << "the estimate is kept to";
  EXPECT_EQ(world.view(key)->spent, kAnswerCost);
  world.restart();
  EXPECT_EQ(world.view(key)->spent, kAnswerCost);
  ASSERT_TRUE(world.send(key, "second"));
  EXPECT_EQ(idle_turn(key).status, TurnStatus::kCompleted);
  ASSERT_TRUE(world.send(key, "third")) << "input is accepted";
  EXPECT_EQ(code(idle_turn(key)), "session_budget_exceeded");
  EXPECT_EQ(world.outside.requests.size(), 2u);
  expect_spent(key, 2 * kAnswerCost, 2);
}

TEST_P(EngineBudgetTest, TheLimitHoldsInTheMiddleOfATurn) {
  world.outside.answers.push_back({.calls = {function_call("c1", "keyed", "{}")}});
  SessionKey key = limited(kLongestAnswer + kAnswerCost - 1);
  TurnView turn = idle_turn(key);
  EXPECT_EQ(code(turn), "session_budget_exceeded");
  EXPECT_EQ(world.outside.requests.size(), 1u);
  expect_spent(key, kAnswerCost, 1);
}

TEST_P(EngineBudgetTest, WithoutAPriceNothingIsLimitedAndNothingAllowed) {
  SessionKey free = create(command("hello", "unknown"));
  EXPECT_EQ(idle_turn(free).status, TurnStatus::kCompleted);
  EXPECT_EQ(total().unpriced, 1);
  EXPECT_EQ(total().cost, 0);
  EXPECT_EQ(total().input, 10);
  put(BudgetScope::kProject, "default", 1'000'000'000);
  ASSERT_TRUE(world.send(free, "again"));
  EXPECT_EQ(code(idle_turn(free)), "invalid_request");
  EXPECT_THAT(idle_turn(free).error->message, HasSubstr("without a price, and 'unknown' has none"));
}

// ---- budgets of several sessions ----------------------------------------------------------------

TEST_P(EngineBudgetTest, OfTwoSessionsOneGetsTheLastMoney) {
  put(BudgetScope::kProject, "default", kLongestAnswer * 3 / 2);
  world.outside.respond = [](const models::ModelRequest&) {
    return Answer{.chunks = {"x"}, .hang = true};
  };
  world.faults.hold_appends = true;
  std::vector<std::shared_ptr<World::Pending<Result<Created>>>> all;
  for (int i = 0; i < 8; ++i)
    all.push_back(world.begin(world.engine->create_session(command("session"))));
  world.pause(10);
  world.faults.hold_appends = false;
  int running = 0;
  std::vector<SessionKey> keys;
  for (auto& one : all) {
    auto created = world.finish(one);
    ASSERT_TRUE(created) << created.error().message;
    keys.push_back(created->session->key);
    if (world.view(keys.back())->status == SessionStatus::kInProgress) {
      ++running;
      continue;
    }
    TurnView turn = idle_turn(keys.back());
    EXPECT_EQ(code(turn), "project_spend_limit_exceeded");
    EXPECT_THAT(turn.error->message, HasSubstr("budget of project 'default'"));
  }
  EXPECT_EQ(running, 1);
  world.until([&] { return world.outside.requests.size() == 1; });
}

TEST_P(EngineBudgetTest, WhatIsNotUsedIsThereForTheNext) {
  put(BudgetScope::kProject, "default", kLongestAnswer * 3 / 2);
  SessionKey one = create(command());
  idle_turn(one);
  EXPECT_EQ(budget().spent, kAnswerCost);
  EXPECT_EQ(budget().reserved, 0);
  SessionKey two = create(command());
  EXPECT_EQ(idle_turn(two).status, TurnStatus::kCompleted);
  EXPECT_EQ(budget().spent, 2 * kAnswerCost);
}

TEST_P(EngineBudgetTest, WorkstreamsAndAgentsHaveTheirOwn) {
  put(BudgetScope::kWorkstream, "w", 10);
  CreateSession inside = command();
  inside.workstream = "w";
  EXPECT_EQ(code(idle_turn(create(inside))), "usage_limit_exceeded");
  CreateSession outside = command();
  outside.workstream = "v";
  EXPECT_EQ(code(idle_turn(create(outside))), "none");
  put(BudgetScope::kAgent, "agt_saved", 10);
  SessionKey refused = create(outside);
  EXPECT_EQ(code(idle_turn(refused)), "usage_limit_exceeded");
  EXPECT_THAT(idle_turn(refused).error->message, HasSubstr("budget of agent 'agt_saved'"));
  ASSERT_TRUE(world.run(
      world.engine->accounts().delete_budget(world.project, BudgetScope::kAgent, "agt_saved")));
  EXPECT_EQ(code(idle_turn(create(outside))), "none");
  auto rows = world.run(world.engine->accounts().usage(
      {.project = world.project, .by = {UsageBy::kWorkstream, UsageBy::kModel}}));
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_THAT(rows->front().values, ElementsAre("v", "priced-model"));
}

TEST_P(EngineBudgetTest, ABudgetIsKeptOverARestart) {
  put(BudgetScope::kProject, "default", kLongestAnswer + kAnswerCost);
  SessionKey key = create(command());
  idle_turn(key);
  world.restart();
  EXPECT_EQ(budget().spent, kAnswerCost);
  ASSERT_TRUE(world.send(key, "again"));
  EXPECT_EQ(code(idle_turn(key)), "project_spend_limit_exceeded");
}

TEST_P(EngineBudgetTest, ADaysBudgetIsWholeTheNextDay) {
  put(BudgetScope::kProject, "default", kLongestAnswer + kAnswerCost, BudgetWindow::kDay);
  SessionKey key = create(command());
  idle_turn(key);
  ASSERT_TRUE(world.send(key, "again"));
  EXPECT_EQ(code(idle_turn(key)), "project_spend_limit_exceeded");
  world.env.advance(24LL * 3600 * 1000);
  EXPECT_EQ(budget().spent, 0);
  ASSERT_TRUE(world.send(key, "again"));
  EXPECT_EQ(code(idle_turn(key)), "none");
}

TEST_P(EngineBudgetTest, ACallThatRunsCountsAgainstABudgetThatIsNew) {
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  SessionKey key = create(command());
  put(BudgetScope::kProject, "default", kLongestAnswer * 2);
  EXPECT_GT(budget().reserved, kLongestAnswer);
  EXPECT_EQ(code(idle_turn(create(command()))), "project_spend_limit_exceeded");
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  EXPECT_EQ(budget().reserved, 0);
  EXPECT_GT(budget().spent, 0);
}

TEST_P(EngineBudgetTest, ARefusedAppendGivesBackWhatItHeld) {
  put(BudgetScope::kProject, "default", kLongestAnswer * 3 / 2);
  world.faults.refuse = [](const journal::Append&) {
    return Error{ErrorCode::kUnavailable, "planted", {}, {}};
  };
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(world.run(world.engine->create_session(command())));
  world.faults.refuse = nullptr;
  EXPECT_EQ(idle_turn(create(command())).status, TurnStatus::kCompleted);
}

// ---- prices of pools ----------------------------------------------------------------------------

TEST_P(EngineBudgetTest, APoolWithAPriceOfItsOwnIsChargedThatOne) {
  use({{.name = "a"}, {.name = "b", .provider = "other", .priority = 1, .price = kDear}});
  put(BudgetScope::kProject, "default", 1'000'000'000);
  fail_next();
  SessionKey key = create(command("hello", "pooled"));
  EXPECT_EQ(idle_turn(key).status, TurnStatus::kCompleted);
  EXPECT_THAT(world.outside.asked, ElementsAre("fake", "other"));
  expect_spent(key, 20'000 + 10 * kAnswerCost, 2);
  const std::vector<models::Money> reserved = reservations();
  ASSERT_EQ(reserved.size(), 2u);
  EXPECT_EQ(reserved[1], 10 * reserved[0]) << "the same call, dearer";
  auto rows = world.run(
      world.engine->accounts().usage({.project = world.project, .by = {UsageBy::kProvider}}));
  ASSERT_EQ(rows->size(), 2u);
  for (const auto& row : *rows)
    EXPECT_EQ(row.counts.cost, row.values.front() == "fake" ? 20'000 : 10 * kAnswerCost);
}

TEST_P(EngineBudgetTest, WhatMustBeLeftIsWhatTheChosenPoolMayCost) {
  use({{.name = "a"}, {.name = "b", .provider = "other", .priority = 1, .price = kDear}});
  const models::Money limit = 2 * kLongestAnswer;  // enough for the one, not for the other
  CreateSession one = command("hello", "pooled");
  one.spend_limit = limit;
  fail_next();
  SessionKey key = create(one);
  EXPECT_EQ(code(idle_turn(key)), "session_budget_exceeded");
  EXPECT_THAT(world.outside.asked, ElementsAre("fake"));
  expect_spent(key, 20'000, 1);
  put(BudgetScope::kProject, "default", limit + 20'000);
  fail_next();
  key = create(command("hello", "pooled"));
  EXPECT_EQ(code(idle_turn(key)), "project_spend_limit_exceeded");
  EXPECT_THAT(world.outside.asked, ElementsAre("fake", "fake"));
  EXPECT_EQ(budget().reserved, 0);
  ASSERT_TRUE(world.send(key, "again"));
  EXPECT_EQ(code(idle_turn(key)), "none") << "the cheap pool is enough where it answers";
}

TEST_P(EngineBudgetTest, TokensOfAReservationPaidByTheHourCostNothing) {
  use({{.name = "ptu", .pool_class = models::PoolClass::kReserved, .price_per_hour = 1},
       {.name = "paid", .provider = "other"}});
  put(BudgetScope::kProject, "default", 10);
  SessionKey key = create(command("hello", "pooled"));
  EXPECT_EQ(idle_turn(key).status, TurnStatus::kCompleted);
  expect_spent(key, 0, 1);
  EXPECT_EQ(total().unpriced, 0) << "nothing is a price";
  fail_next();
  ASSERT_TRUE(world.send(key, "again"));
  EXPECT_EQ(code(idle_turn(key)), "project_spend_limit_exceeded") << "what spills over is paid for";
  EXPECT_THAT(world.outside.asked, ElementsAre("fake", "fake"));
}

TEST_P(EngineBudgetTest, ALimitNeedsAPriceInEveryPool) {
  use({{.name = "a", .price = kDear}, {.name = "b", .provider = "other", .priority = 1}});
  EXPECT_TRUE(world.engine->priced("pooled"));
  EXPECT_FALSE(world.engine->priced("unknown"));
  world.models.front().price.reset();
  world.stop();
  world.start(/*recover=*/false);
  auto refused = world.engine->priced("pooled");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message, HasSubstr("'pooled' has none in the pool 'b'"));

  // A limit that comes later, or a price that goes, meets the call that has none.
  put(BudgetScope::kProject, "default", 1'000'000'000);
  fail_next();
  SessionKey key = create(command("hello", "pooled"));
  EXPECT_EQ(code(idle_turn(key)), "invalid_request");
  EXPECT_THAT(idle_turn(key).error->message, HasSubstr("'pooled' has none in the pool 'b'"));
  EXPECT_THAT(world.outside.asked, ElementsAre("fake"));
  expect_spent(key, 200'000, 1);
}

TEST_P(EngineBudgetTest, ACallThatWaitsForAPoolReservesNothing) {
  use({{.name = "a", .price = kDear}});
  put(BudgetScope::kProject, "default", 1'000'000'000);
  world.outside.respond = [](const models::ModelRequest&) {
    return Answer{.failure = models::ModelFailure{
                      .code = "server_error", .message = "no", .retryable = true}};
  };
  for (int i = 0; i < 10; ++i) create(command("breaks it", "pooled"));
  world.until([&] {
    return std::ranges::any_of(world.engine->pools(),
                               [](const models::PoolStatus& pool) { return pool.state == "open"; });
  });
  world.settle();
  const std::uint64_t before = world.engine->counters().model_calls_abandoned;
  SessionKey key = create(command("waits", "pooled"));
  world.until([&] { return world.engine->counters().model_calls_abandoned > before; });
  EXPECT_EQ(world.view(key)->status, SessionStatus::kInProgress);
  EXPECT_EQ(world.view(key)->reserved, 0);
  EXPECT_THAT(*world.run(world.journal->reservations(key)), IsEmpty());
  EXPECT_EQ(budget().reserved, 0);
  world.outside.respond = nullptr;
  world.env.advance(120'000);
  world.engine->check_timers();
  EXPECT_EQ(idle_turn(key).status, TurnStatus::kCompleted);
  EXPECT_EQ(world.view(key)->spent, 10 * kAnswerCost);
}

TEST_P(EngineBudgetTest, ACallIsChargedThePriceOfItsIntentWhateverIsConfiguredLater) {
  use({{.name = "a"}});
  put(BudgetScope::kProject, "default", 1'000'000'000);
  world.outside.answers.push_back({.chunks = {"half"}, .hang = true});
  SessionKey key = create(command("hello", "pooled"));
  world.until([&] { return world.outside.requests.size() == 1; });
  const models::Money reserved = budget().reserved;
  EXPECT_GT(reserved, kLongestAnswer);
  use({{.name = "b", .price = kDear}}, /*recover=*/true);
  EXPECT_EQ(idle_turn(key).status, TurnStatus::kCompleted);
  expect_spent(key, reserved + 10 * kAnswerCost, 2);
}

// ---- charged once ------------------------------------------------------------------------------

TEST_P(EngineBudgetTest, AFailedAttemptIsChargedWhatItUsed) {
  put(BudgetScope::kProject, "default", 1'000'000'000);
  models::ModelFailure failure{.code = "server_error", .message = "no", .retryable = true};
  failure.usage = {10, 0, 1, 0};
  failure.usage_known = true;
  world.outside.answers.push_back({.failure = failure});
  failure.usage_known = false;
  failure.usage = {};
  world.outside.answers.push_back({.failure = failure});
  SessionKey key = create(command());
  for (std::uint64_t attempts = 1; attempts <= 2; ++attempts) {
    world.until([&] { return world.engine->counters().model_calls_abandoned == attempts; });
    world.env.advance(60'000);
    world.engine->check_timers();
  }
  EXPECT_EQ(idle_turn(key).status, TurnStatus::kCompleted);
  expect_spent(key, 20'000 + 0 + kAnswerCost, 3);
  EXPECT_EQ(total().abandoned, 2);
  EXPECT_EQ(total().estimated, 0) << "what a provider refuses it does not charge";
}

TEST_P(EngineBudgetTest, AnAnswerThatBreaksOffBeforeItsTextIsEstimated) {
  put(BudgetScope::kProject, "default", 1'000'000'000);
  models::ModelFailure cut{.code = "server_error", .message = "cut", .begun = true};
  world.outside.answers.push_back({.failure = cut});  // it was thinking
  SessionKey key = create(command());
  EXPECT_EQ(idle_turn(key).status, TurnStatus::kFailed);
  EXPECT_EQ(total().estimated, 1);
  EXPECT_GT(total().input, 0);
  EXPECT_GT(total().cost, 0);
  expect_spent(key, total().cost, 1);
}

TEST_P(EngineBudgetTest, ACallThatNeverLeftTheQueueCostsNothing) {
  world.stop();
  world.pools = {{.name = "narrow", .provider = "fake", .max_in_flight = 1}};
  models::ModelEntry model = priced_model();
  model.name = "narrow-model";
  model.provider.clear();
  model.pools = {"narrow"};
  world.models = {model};
  world.start(/*recover=*/false);
  put(BudgetScope::kProject, "default", 1'000'000'000);
  world.outside.answers.push_back({.chunks = {"half"}, .hang = true});
  SessionKey runs = create(command("one", "narrow-model"));
  world.until([&] { return world.outside.requests.size() == 1; });
  SessionKey cancelled = create(command("two", "narrow-model"));
  SessionKey drained = create(command("three", "narrow-model"));
  world.until([&] {
    return std::ranges::any_of(world.engine->pools(),
                               [](const models::PoolStatus& pool) { return pool.waiting == 2; });
  });
  ASSERT_TRUE(world.run(world.engine->submit(cancelled, cancel(), std::nullopt)));
  EXPECT_EQ(total().calls, 0);
  world.stop();  // drains
  world.start(/*recover=*/false);
  EXPECT_THAT(world.run(world.journal->reservations(drained)).value(), IsEmpty());
  EXPECT_THAT(world.run(world.journal->reservations(runs)).value(), testing::SizeIs(1))
      << "of the one that ran nobody knows";
  world.run(World::ended(world.engine->recover(journal::all_shards())));
  EXPECT_EQ(idle_turn(drained).status, TurnStatus::kCompleted);
}

TEST_P(EngineBudgetTest, WhatACancelCallsUnsentIsNotSentWhileTheCancelIsWritten) {
  put(BudgetScope::kProject, "default", 1'000'000'000);
  SessionKey key = create(command());
  EXPECT_EQ(idle_turn(key).status, TurnStatus::kCompleted);
  world.stop();
  world.start(/*recover=*/false);
  world.faults.hold_reads = true;  // the next call reads its context anew
  ASSERT_TRUE(world.send(key, "again"));
  world.settle();
  world.faults.hold_appends = true;
  const std::size_t before = world.faults.appended.size();
  auto cancelling = world.begin(world.engine->submit(key, cancel(), std::nullopt));
  world.until([&] { return world.faults.appended.size() > before; });
  world.faults.hold_reads = false;
  world.pause(10);
  EXPECT_EQ(world.outside.requests.size(), 1u);
  world.faults.hold_appends = false;
  ASSERT_TRUE(world.finish(std::move(cancelling)));
  world.settle();
  EXPECT_EQ(world.outside.requests.size(), 1u);
  expect_spent(key, kAnswerCost, 1);
}

TEST_P(EngineBudgetTest, WhatNobodyToldIsEstimatedAndSaysSo) {
  put(BudgetScope::kProject, "default", 1'000'000'000);
  world.outside.answers.push_back({.chunks = {std::string(400, 'x')}, .usage_known = false});
  SessionKey key = create(command());
  idle_turn(key);
  EXPECT_EQ(total().estimated, 1);
  EXPECT_EQ(total().cost, total().estimated_cost);
  EXPECT_GE(total().output, 100);
  EXPECT_GE(total().cost, 100 * 10'000);
  expect_spent(key, total().cost, 1);
}

TEST_P(EngineBudgetTest, ACancelledCallIsChargedForWhatItHadShown) {
  put(BudgetScope::kProject, "default", 1'000'000'000);
  world.outside.answers.push_back({.chunks = {std::string(40, 'x')}, .hang = true});
  SessionKey key = create(command());
  world.until([&] { return world.outside.requests.size() == 1; });
  world.pause(5);
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  EXPECT_EQ(total().output, 11);
  EXPECT_EQ(total().abandoned, 1);
  expect_spent(key, total().cost, 1);
}

TEST_P(EngineBudgetTest, ALostCallIsChargedInFullAndOnce) {
  put(BudgetScope::kProject, "default", 1'000'000'000);
  world.outside.answers.push_back({.chunks = {"half"}, .hang = true});
  SessionKey key = create(command());
  world.pause(5);
  models::Money reserved = budget().reserved;
  EXPECT_GT(reserved, kLongestAnswer);
  EXPECT_EQ(world.view(key)->reserved, reserved);
  world.restart(/*recover=*/false);
  world.start(/*recover=*/false);
  EXPECT_EQ(budget().reserved, reserved) << "still: nobody has looked at the session";
  world.restart();
  idle_turn(key);
  expect_spent(key, reserved + kAnswerCost, 2);
  EXPECT_EQ(total().estimated, 1);
  EXPECT_EQ(total().estimated_cost, reserved);
  world.restart();
  expect_spent(key, reserved + kAnswerCost, 2);
}

TEST_P(EngineBudgetTest, ACrashAfterAnyCommitChargesEveryCallOnce) {
  for (int survivors = 1; survivors < 12; ++survivors) {
    SCOPED_TRACE("crash after " + std::to_string(survivors) + " commits");
    World other(GetParam());
    std::swap(other.outside.answers, world.outside.answers);
    auto run = [&](World& in) {
      auto kept = in.run(in.engine->accounts().put_budget({.project = in.project,
                                                           .scope = BudgetScope::kProject,
                                                           .id = "default",
                                                           .limit = 1'000'000'000}));
      ASSERT_TRUE(kept);
      in.outside.respond = [](const models::ModelRequest& request) {
        bool answered = std::holds_alternative<models::FunctionOutput>(request.context.back());
        if (answered) return Answer{.chunks = {"done"}};
        return Answer{.calls = {function_call("c1", "keyed", "{}")}};
      };
      int appends = 0;
      in.faults.refuse = [&appends, survivors](const journal::Append&) -> std::optional<Error> {
        if (++appends <= survivors) return std::nullopt;
        return Error{ErrorCode::kUnavailable, "crashed", {}, {}};
      };
      auto created = in.run(in.engine->create_session(command()));
      ASSERT_TRUE(created);
      SessionKey key = created->session->key;
      in.pause(15);
      in.faults.refuse = nullptr;
      in.restart();
      ASSERT_EQ(in.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
      auto rows = in.run(in.engine->accounts().usage({.project = in.project}));
      ASSERT_EQ(rows->size(), 1u);
      const UsageCounts& counts = rows->front().counts;
      auto budget = in.run(in.journal->budgets(in.project))->front();
      EXPECT_EQ(budget.spent, counts.cost);
      EXPECT_EQ(budget.reserved, 0);
      EXPECT_EQ(in.view(key)->spent, counts.cost);
      EXPECT_EQ(counts.calls - counts.abandoned, 2) << "both answers, once each";
      EXPECT_EQ(counts.cost - counts.estimated_cost, 2 * kAnswerCost);
      // Every intent on disk has been settled, and nothing else has.
      std::int64_t intents = 0;
      for (const journal::Append& append : in.faults.appended)
        for (const journal::EntryDraft& entry : append.entries)
          intents += entry.kind == journal::kModelCallStarted;
      EXPECT_EQ(counts.calls, intents);
      EXPECT_EQ(in.run(in.engine->accounts().budgets(in.project))->front(), budget);
    };
    run(other);
  }
}

TEST_P(EngineBudgetTest, MoneyCostsNoCommitOfItsOwn) {
  put(BudgetScope::kProject, "default", 1'000'000'000);
  std::uint64_t before = world.journal->stats().commits;
  SessionKey key = limited(1'000'000'000);
  idle_turn(key);
  EXPECT_EQ(world.journal->stats().commits - before, 2u);
}

TEST_P(EngineBudgetTest, ASessionPutAsideLeavesNothingReserved) {
  put(BudgetScope::kProject, "default", 1'000'000'000);
  world.outside.answers.push_back({.chunks = {"half"}, .hang = true});
  SessionKey key = create(command());
  world.pause(5);
  models::Money reserved = budget().reserved;
  world.faults.lose_end_of_recovery = true;
  for (int crash = 0; crash <= kMaxRecoveryCrashes; ++crash) {
    world.outside.answers.push_back({.chunks = {"half"}, .hang = true});
    world.stop();
    world.start();
  }
  EXPECT_EQ(world.view(key)->status, SessionStatus::kFailed);
  EXPECT_EQ(budget().reserved, 0);
  EXPECT_GE(budget().spent, reserved);
  EXPECT_EQ(budget().spent, total().cost);
  EXPECT_THAT(*world.run(world.journal->reservations(key)), IsEmpty());
}

TEST_P(EngineBudgetTest, ADeletedSessionsMoneyStays) {
  SessionKey key = create(command());
  idle_turn(key);
  ASSERT_TRUE(world.run(world.engine->delete_session(key)));
  EXPECT_EQ(total().cost, kAnswerCost);
  auto rows = world.run(
      world.engine->accounts().usage({.project = world.project, .by = {UsageBy::kSession}}));
  EXPECT_THAT(rows->front().values, ElementsAre(""));
}

}  // namespace
}  // namespace perdure::engine
