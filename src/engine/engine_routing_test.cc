// Where model calls go: other pools, waiting, and what the journal says about it.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/entry_bodies.h"
#include "models/router.h"

namespace perdure::engine {
namespace {

using models::Candidate;
using models::ModelFailure;
using models::PoolClass;
using testing::ElementsAre;
using testing::HasSubstr;

class EngineRoutingTest : public EngineTest {
 protected:
  /// The engine starts anew with these pools for "fake-model".
  void use(std::vector<models::PoolEntry> pools) {
    world.stop();
    models::ModelEntry model{.name = "fake-model"};
    for (models::PoolEntry& pool : pools) {
      if (pool.provider.empty()) pool.provider = "fake";
      if (pool.provider != "fake") world.more_providers.push_back(pool.provider);
      model.pools.push_back(pool.name);
    }
    world.pools = std::move(pools);
    world.models = {model};
    world.start(false);
  }

  template <class Body>
  std::vector<Body> entries(const SessionKey& key, journal::Kind kind) {
    journal::EntryQuery query{.key = key};
    query.kinds = {kind};
    std::vector<Body> bodies;
    auto read = world.run(world.journal->read(query));
    EXPECT_TRUE(read);
    for (const journal::Entry& entry : *read) bodies.push_back(*decode<Body>(entry.body));
    return bodies;
  }
  std::vector<ModelCallStartedBody> started(const SessionKey& key) {
    return entries<ModelCallStartedBody>(key, journal::kModelCallStarted);
  }
  std::vector<ModelCallAbandonedBody> abandoned(const SessionKey& key) {
    return entries<ModelCallAbandonedBody>(key, journal::kModelCallAbandoned);
  }
  TurnView last_turn(const SessionKey& key) {
    return world.run(world.engine->turns(key, {}))->data.front();
  }
  void until_abandoned(std::uint64_t count) {
    world.until([&] { return world.engine->counters().model_calls_abandoned >= count; });
  }
  void much_later() {
    world.env.advance(120'000);
    world.engine->check_timers();
  }
  models::PoolStatus status(std::string_view pool) {
    for (models::PoolStatus& status : world.engine->pools())
      if (status.entry->name == pool) return status;
    throw std::runtime_error("no such pool");
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, EngineRoutingTest, all_variants(), variant_name);

TEST_P(EngineRoutingTest, ACallThatOnePoolFailsGoesToTheNextAtOnceAndTheJournalSaysWhy) {
  use({{.name = "a", .upstream = "big"}, {.name = "b", .provider = "other", .priority = 1}});
  world.outside.answers.push_back(
      {.failure = ModelFailure{.code = "server_error", .message = "oh", .retryable = true}});
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(world.outside.asked, ElementsAre("fake", "other")) << "without a pause";
  EXPECT_EQ(world.outside.requests.front().model, "big");
  EXPECT_EQ(world.outside.requests.back().model, "fake-model");
  EXPECT_NE(world.outside.requests.front().idempotency_key,
            world.outside.requests.back().idempotency_key);
  auto calls = started(key);
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].pool, "a");
  EXPECT_THAT(calls[0].route, ElementsAre(Candidate{"a", 1, ""}, Candidate{"b", 2, ""}));
  EXPECT_EQ(calls[1].pool, "b");
  EXPECT_EQ(calls[1].provider, "other");
  EXPECT_EQ(calls[1].attempt, 2);
  EXPECT_THAT(calls[1].route, ElementsAre(Candidate{"b", 1, ""}, Candidate{"a", 2, ""}));
  EXPECT_TRUE(abandoned(key).front().rerouted);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
}

TEST_P(EngineRoutingTest, WhatOneModelSignedGoesToNoOther) {
  use({{.name = "a", .upstream = "big"}, {.name = "b", .provider = "other", .priority = 1}});
  models::OutputItem thought{.type = models::OutputType::kReasoning};
  thought.raw = R"({"type":"thinking","signature":"of big"})";
  thought.raw_provider = "fake-kind";
  world.outside.answers.push_back({.chunks = {"first"}, .calls = {thought}});
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  world.outside.answers.push_back(
      {.failure = ModelFailure{.code = "server_error", .message = "oh", .retryable = true}});
  ASSERT_TRUE(world.send(key, "again"));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  ASSERT_THAT(world.outside.asked, ElementsAre("fake", "fake", "other"));
  auto raw_in = [](const models::ModelRequest& request) {
    std::string raw;
    for (const models::ContextItem& item : request.context)
      if (auto* output = std::get_if<models::OutputItem>(&item)) raw += output->raw;
    return raw;
  };
  EXPECT_EQ(raw_in(world.outside.requests[1]), thought.raw) << "its writer gets it back";
  EXPECT_EQ(raw_in(world.outside.requests[2]), "");
}

TEST_P(EngineRoutingTest, WhatIsWrongWithTheRequestIsAskedOnce) {
  use({{.name = "a"}, {.name = "b", .provider = "other", .priority = 1}});
  world.outside.answers.push_back({.failure = ModelFailure{.code = "invalid_request"}});
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).error->code, "invalid_request");
  EXPECT_EQ(world.outside.requests.size(), 1u);
}

TEST_P(EngineRoutingTest, AllPoolsAreAskedBeforeATurnFailsAndTheNextTurnStartsAfresh) {
  use({{.name = "a"}, {.name = "b", .provider = "other", .priority = 1}});
  for (int i = 0; i < 2; ++i)
    world.outside.answers.push_back({.failure = ModelFailure{.code = "authentication_error"}});
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).error->code, "authentication_error");
  ASSERT_TRUE(world.send(key, "again"));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(world.outside.asked, ElementsAre("fake", "other", "fake"));
}

TEST_P(EngineRoutingTest, WithoutAnyPoolTheTurnWaitsByADurableTimerAndGoesOn) {
  use({{.name = "a"}});
  world.outside.respond = [](const models::ModelRequest&) {
    return Answer{.failure =
                      ModelFailure{.code = "server_error", .message = "oh", .retryable = true}};
  };
  for (int i = 0; i < 10; ++i) world.create("breaks it");
  world.until([&] { return status("a").state == "open"; });
  world.settle();
  std::size_t asked = world.outside.requests.size();
  std::uint64_t before = world.engine->counters().model_calls_abandoned;
  SessionKey key = world.create("go");
  until_abandoned(before + 1);
  EXPECT_EQ(world.outside.requests.size(), asked) << "nothing is sent to a pool that is left alone";
  auto waiting = abandoned(key);
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_TRUE(waiting[0].unsent);
  EXPECT_GT(waiting[0].retry_at, world.env.now());
  EXPECT_EQ(started(key)[0].pool, "");
  ASSERT_EQ(started(key)[0].route.size(), 1u);
  EXPECT_THAT(started(key)[0].route[0].rejected, HasSubstr("its breaker is open"));
  world.outside.respond = nullptr;
  world.restart();  // the wait outlives the process
  much_later();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_EQ(started(key).back().attempt, 1) << "waiting is no attempt";
}

TEST_P(EngineRoutingTest, ATurnThatWaitsInVainGoesOnWaitingByItsTimerAndFailsAfterManyLooks) {
  world.rules["fake"] = {.attempts = 5, .retry_percent = 0, .retry_floor = 0};
  use({{.name = "a"}});
  world.outside.answers.push_back(
      {.failure = ModelFailure{.code = "server_error", .message = "oh", .retryable = true}});
  SessionKey key = world.create("go");
  until_abandoned(1);
  std::size_t looks = 0;
  for (; looks < 200 && world.view(key)->status != SessionStatus::kIdle; ++looks) {
    ASSERT_TRUE(*world.run(world.journal->next_timer(journal::all_shards())))
        << "nothing would ever wake it";
    std::uint64_t head = world.view(key)->head;
    much_later();
    for (int round = 0; round < 10'000 && world.view(key)->head == head; ++round) world.pause(1);
  }
  EXPECT_GT(looks, 10u) << "an outage of some minutes is waited for";
  EXPECT_LT(looks, 60u);
  TurnView turn = last_turn(key);
  EXPECT_EQ(turn.status, TurnStatus::kFailed);
  ASSERT_TRUE(turn.error);
  EXPECT_EQ(turn.error->code, "server_overloaded");
  EXPECT_THAT(turn.error->message, HasSubstr("its share of repeated calls"));
  EXPECT_EQ(world.outside.requests.size(), 1u) << "the retry budget is nothing";
  EXPECT_FALSE(*world.run(world.journal->next_timer(journal::all_shards())));
}

TEST_P(EngineRoutingTest, AfterAnAnswerTheNextCallOfTheTurnStartsWithTheFirstPoolAgain) {
  use({{.name = "a"}, {.name = "b", .provider = "other", .priority = 1}});
  world.outside.answers.push_back(
      {.failure = ModelFailure{.code = "server_error", .message = "oh", .retryable = true}});
  world.outside.answers.push_back({.calls = {function_call("c1", "look", "{}")}});
  SessionKey key = world.create("go", agent_with({"look"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.front(), "seen"));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(world.outside.asked, ElementsAre("fake", "other", "fake"));
}

TEST_P(EngineRoutingTest, AnOutageThatDoesNotEndFailsTheTurnInTheEnd) {
  use({{.name = "a"}});
  world.outside.respond = [](const models::ModelRequest&) {
    return Answer{.failure =
                      ModelFailure{.code = "request_timeout", .message = "oh", .retryable = true}};
  };
  SessionKey key = world.create("go");
  for (int round = 0; round < 200 && world.view(key)->status != SessionStatus::kIdle; ++round) {
    world.settle();
    much_later();
    world.pause(1);
  }
  EXPECT_EQ(last_turn(key).status, TurnStatus::kFailed);
  EXPECT_LE(world.outside.requests.size(), 5u);
  EXPECT_FALSE(*world.run(world.journal->next_timer(journal::all_shards())));
}

TEST_P(EngineRoutingTest, ACancelWhileACallWaitsForRoomEndsTheTurnAndTheQueueGoesOn) {
  use({{.name = "a", .max_in_flight = 1}});
  world.outside.respond = [](const models::ModelRequest& request) {
    const auto& user = std::get<models::UserMessage>(request.context.front());
    Answer answer{.chunks = {"ok"}};
    answer.hang = user.parts.front().text == "hold";
    return answer;
  };
  SessionKey holder = world.create("hold");
  world.until([&] { return world.outside.in_flight == 1; });
  SessionKey waits = world.create("waits");
  SessionKey last = world.create("last");
  world.until([&] { return status("a").waiting == 2; });
  ASSERT_TRUE(world.run(world.engine->submit(waits, cancel(), std::nullopt)));
  EXPECT_EQ(world.view(waits)->status, SessionStatus::kIdle);
  ASSERT_TRUE(world.run(world.engine->submit(holder, cancel(), std::nullopt)));
  EXPECT_EQ(world.wait_for(last, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(world.outside.requests.size(), 2u);
  EXPECT_EQ(world.outside.most_in_flight, 1);
}

TEST_P(EngineRoutingTest, AServiceTierIsSentOnlyToWhoHasOne) {
  use({{.name = "a", .pool_class = PoolClass::kFlex}, {.name = "b"}});
  AgentConfig agent;
  agent.service_tier = "flex";
  SessionKey key = world.create("go", agent);
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(started(key)[0].pool, "a");
  EXPECT_EQ(world.outside.requests[0].service_tier, "flex");
}

TEST_P(EngineRoutingTest, ALongConversationLeavesASmallWindow) {
  use({{.name = "small", .context_window = 500},
       {.name = "large", .priority = 1, .context_window = 1'000'000}});
  SessionKey key = world.create("short");
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(started(key)[0].pool, "small");
  ASSERT_TRUE(world.send(key, std::string(4000, 'x')));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(started(key)[1].pool, "large");
  world.restart();
  ASSERT_TRUE(world.send(key, "and?"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(started(key)[2].pool, "small") << "the usage of the last answer says it was short";
}

TEST_P(EngineRoutingTest, EntriesFromBeforeThereWerePoolsStillRead) {
  auto body = decode<ModelCallStartedBody>(
      R"({"v":1,"turn":2,"attempt":1,"provider":"p","model":"m","key":"k","context_through":3,)"
      R"("decision":{"verdict":"allow","rule":"default"}})");
  ASSERT_TRUE(body);
  EXPECT_EQ(body->pool, "");
  EXPECT_TRUE(body->route.empty());
  auto ended = decode<ModelCallAbandonedBody>(
      R"({"v":1,"turn":2,"call":4,"error":{"code":"server_error","message":""}})");
  ASSERT_TRUE(ended);
  EXPECT_FALSE(ended->unsent || ended->rerouted);
}

TEST_P(EngineRoutingTest, AThousandSessionsComeBackPacedAndNoneIsLost) {
  constexpr int kSessions = 1000, kLimit = 20;
  use({{.name = "a", .max_in_flight = kLimit}});
  bool down = true;
  int refused = 0;
  world.outside.respond = [&](const models::ModelRequest&) {
    if (down) return Answer{.hang = true};
    if (world.outside.in_flight <= kLimit) return Answer{.chunks = {"I", " am", " back"}};
    ++refused;
    return Answer{.failure = ModelFailure{.code = "rate_limit_exceeded", .retryable = true}};
  };
  std::vector<SessionKey> keys;
  for (int i = 0; i < kSessions; ++i) keys.push_back(world.create("go"));
  world.until([&] { return status("a").waiting == kSessions - kLimit; });
  EXPECT_EQ(world.outside.most_in_flight, kLimit);
  down = false;
  world.restart();
  for (const SessionKey& key : keys) {
    ASSERT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
    EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  }
  EXPECT_EQ(world.outside.most_in_flight, kLimit);
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(world.outside.requests.size(), static_cast<std::size_t>(kSessions + kLimit))
      << "each session was asked for once, and the held ones a second time";
}

}  // namespace
}  // namespace perdure::engine
