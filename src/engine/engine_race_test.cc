// Two things at once: commands, ends of effects, readers, subscribers, deletion, another engine.
// See engine_test_support.h and fault_journal.h.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

using testing::ElementsAre;

class EngineRaceTest : public EngineTest {
 protected:
  SessionKey idle_session() {
    SessionKey key = world.create("first");
    world.wait_for(key, SessionStatus::kIdle);
    return key;
  }
  std::vector<Input> message(std::string text) {
    std::vector<Input> inputs;
    inputs.push_back(InputMessage{{std::move(text)}});
    return inputs;
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, EngineRaceTest, variants_in_process(), variant_name);

// ---- streams
// ------------------------------------------------------------------------------------------

TEST_P(EngineRaceTest, WhoSubscribesDuringACommitMissesNothingOfIt) {
  SessionKey key = idle_session();
  std::uint64_t head = world.view(key)->head;
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  world.faults.hold_appends = true;
  auto sent = world.begin(world.engine->submit(key, message("second"), std::nullopt));
  world.pause(10);
  auto stream = world.run(world.engine->subscribe(key, StreamFrom{std::nullopt, true}));
  auto first = world.begin((*stream)->next());
  world.pause(10);
  world.faults.hold_appends = false;
  ASSERT_TRUE(world.finish(sent));
  auto batch = world.finish(first);
  ASSERT_TRUE(batch && *batch && !(*batch)->empty());
  EXPECT_EQ((*batch)->front()->type, EventType::kTurnCreated);
  EXPECT_EQ((*batch)->front()->place, (Place{head + 1, 0}));
}

TEST_P(EngineRaceTest, WhoReadsWhatTheActorHasNotHeardOfYetGetsItOnce) {
  SessionKey key = idle_session();
  world.faults.hold_appends = true;
  const std::size_t before = world.faults.appended.size();
  auto sent = world.begin(world.engine->submit(key, message("second"), std::nullopt));
  world.until([&] { return world.faults.appended.size() > before; });  // on disk
  auto stream = world.run(world.engine->subscribe(key, StreamFrom{Place{0, 0}, false}));
  ASSERT_TRUE(stream);
  std::vector<std::string> seen;
  const auto take = [&](const Subscription::Batch& batch) {
    for (const auto& event : batch)
      if (event->durable) seen.push_back(event->id());
  };
  auto first = world.run((*stream)->next());
  ASSERT_TRUE(first && *first);
  take(**first);
  auto waiting = world.begin((*stream)->next());
  world.settle();
  world.faults.hold_appends = false;
  ASSERT_TRUE(world.finish(std::move(sent)));
  auto second = world.finish(std::move(waiting));
  ASSERT_TRUE(second && *second);
  take(**second);
  ASSERT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  std::vector<std::string> once = seen;
  std::ranges::sort(once);
  EXPECT_TRUE(std::ranges::adjacent_find(once) == once.end());
  EXPECT_TRUE(std::ranges::is_sorted(seen)) << "ids of one session are in order";
}

TEST_P(EngineRaceTest, ASlowSubscriberGetsEveryDurableEventOnceAndInOrder) {
  SessionKey key = idle_session();
  std::uint64_t head = world.view(key)->head;
  auto slow = world.run(world.engine->subscribe(key, {}));
  Answer chatty;
  for (std::size_t i = 0; i < kMaxQueuedEvents + 100; ++i) chatty.chunks.push_back("x ");
  for (int turn = 0; turn < 3; ++turn) {
    world.outside.answers.push_back(chatty);
    ASSERT_TRUE(world.send(key, "talk"));
    world.wait_for(key, SessionStatus::kIdle);
    if (turn == 1) (void)world.run((*slow)->next());
  }
  ASSERT_TRUE(world.send(key, "the last"));
  world.wait_for(key, SessionStatus::kIdle);
  std::uint64_t end = world.view(key)->head;
  auto whole = world.run(world.engine->subscribe(key, StreamFrom{Place{head, 0xffff}, false}));
  auto read = [&](Subscription& stream) {
    std::vector<Place> places;
    while (places.empty() || places.back().seq < end) {
      auto batch = world.run(stream.next());
      if (!batch || !*batch) break;
      for (const auto& event : **batch)
        if (event->durable) places.push_back(event->place);
    }
    return places;
  };
  std::vector<Place> all = read(**whole);
  std::vector<Place> seen = read(**slow);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end()) << "nothing twice";
  ASSERT_LT(seen.size(), all.size()) << "one batch was read before";
  EXPECT_TRUE(std::equal(seen.rbegin(), seen.rend(), all.rbegin()));
}

TEST_P(EngineRaceTest, StreamsOfADeletedSessionEndCleanly) {
  SessionKey key = idle_session();
  auto live = world.run(world.engine->subscribe(key, {}));
  auto behind = world.run(world.engine->subscribe(key, StreamFrom{Place{0, 0}, false}));
  auto waiting = world.begin((*live)->next());
  world.pause(5);
  ASSERT_TRUE(world.run(world.engine->delete_session(key)));
  auto end = world.finish(waiting);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_FALSE(*end);
  auto late = world.run((*behind)->next());
  ASSERT_TRUE(late) << late.error().message;
  EXPECT_FALSE(*late);
}

TEST_P(EngineRaceTest, AStreamSeesItsSessionBeingPutAside) {
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.requests.size() == 1; });
  world.stop();
  world.start(/*recover=*/false);
  for (int crash = 0; crash < 3; ++crash) (void)world.run(world.journal->begin_recovery({key}));
  auto stream = world.run(world.engine->subscribe(key, StreamFrom{std::nullopt, true}));
  auto waiting = world.begin((*stream)->next());
  world.pause(5);
  world.run(World::ended(world.engine->recover(journal::all_shards())));
  auto batch = world.finish(waiting);
  ASSERT_TRUE(batch && *batch);
  EXPECT_EQ((*batch)->back()->type, EventType::kSessionFailed);
}

TEST_P(EngineRaceTest, ACursorInTheFutureIsRefused) {
  SessionKey key = idle_session();
  std::uint64_t head = world.view(key)->head;
  auto refused = world.run(world.engine->subscribe(key, StreamFrom{Place{head + 1, 0}, false}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(world.run(world.engine->subscribe(key, StreamFrom{Place{head, 0xffff}, false})));
}

TEST_P(EngineRaceTest, WhoComesDuringAnAnswerGetsItFromItsBeginning) {
  world.outside.answers.push_back({.chunks = {"one ", "two "}, .hang = true});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.requests.size() == 1; });
  world.pause(10);
  auto stream = world.run(world.engine->subscribe(key, {}));
  auto batch = world.run((*stream)->next());
  ASSERT_TRUE(batch && *batch);
  std::vector<EventType> types;
  for (const auto& event : **batch) types.push_back(event->type);
  EXPECT_THAT(types, ElementsAre(EventType::kItemAdded, EventType::kContentPartAdded,
                                 EventType::kTextDelta, EventType::kTextDelta));
  (*stream)->wake();
  auto woken = world.run((*stream)->next());
  ASSERT_TRUE(woken && *woken);
  EXPECT_TRUE((*woken)->empty());
}

TEST_P(EngineRaceTest, ASessionHasABoundedNumberOfStreams) {
  SessionKey key = idle_session();
  std::vector<std::unique_ptr<Subscription>> streams;
  for (std::size_t i = 0; i < kMaxSubscribers; ++i) {
    auto stream = world.run(world.engine->subscribe(key, {}));
    ASSERT_TRUE(stream);
    streams.push_back(std::move(*stream));
  }
  auto refused = world.run(world.engine->subscribe(key, {}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kRateLimited);
  streams.pop_back();
  EXPECT_TRUE(world.run(world.engine->subscribe(key, {})));
  SessionKey other = idle_session();
  EXPECT_TRUE(world.run(world.engine->subscribe(other, {})));
}

// ---- creating, reading, deleting
// ----------------------------------------------------------------------

TEST_P(EngineRaceTest, NobodySeesASessionBeforeItsCreationIsOnDisk) {
  CreateSession command;
  command.project = world.project;
  command.id = derive_session_id(world.project, "key");
  command.agent = agent_with({});
  command.input.push_back({{"hello"}});
  SessionKey key{world.project, *command.id};
  world.faults.hold_appends = true;
  auto created = world.begin(world.engine->create_session(command));
  world.pause(5);
  auto read = world.begin(world.engine->session(key));
  auto twice = world.begin(world.engine->create_session(command));
  auto sent = world.begin(world.engine->submit(key, {}, std::nullopt));
  world.pause(5);
  EXPECT_FALSE(read->ended());
  EXPECT_FALSE(sent->ended());
  world.faults.hold_appends = false;
  ASSERT_TRUE(world.finish(created));
  auto view = world.finish(read);
  ASSERT_TRUE(view);
  EXPECT_EQ((*view)->agent->model, "fake-model");
  EXPECT_GT((*view)->head, 0u);
  EXPECT_TRUE(world.finish(sent));
  auto exists = world.finish(twice);
  ASSERT_FALSE(exists);
  EXPECT_EQ(exists.error().reason, "exists");
}

TEST_P(EngineRaceTest, LookingForASessionDoesNotPreventItsCreation) {
  CreateSession command;
  command.project = world.project;
  command.id = derive_session_id(world.project, "key");
  command.agent = agent_with({});
  command.input.push_back({{"hello"}});
  SessionKey key{world.project, *command.id};
  world.faults.hold_loads = true;
  auto read = world.begin(world.engine->session(key));
  world.pause(5);
  auto created = world.begin(world.engine->create_session(command));
  world.pause(5);
  world.faults.hold_loads = false;
  EXPECT_EQ(world.finish(read).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(world.finish(created));
}

TEST_P(EngineRaceTest, ManyWhoLookForNothingAllLearnSo) {
  SessionKey nothing{world.project, new_session_id(world.env)};
  std::vector<std::shared_ptr<World::Pending<Result<std::shared_ptr<const SessionView>>>>> reads;
  world.faults.hold_loads = true;
  for (int i = 0; i < 10; ++i) reads.push_back(world.begin(world.engine->session(nothing)));
  world.pause(5);
  world.faults.hold_loads = false;
  for (auto& read : reads) EXPECT_EQ(world.finish(read).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(world.engine->counters().sessions_awake, 0u);
}

TEST_P(EngineRaceTest, TwoDeletionsAtOnceBothSucceed) {
  SessionKey key = idle_session();
  world.faults.hold_appends = true;
  auto first = world.begin(world.engine->delete_session(key));
  auto second = world.begin(world.engine->delete_session(key));
  world.pause(5);
  world.faults.hold_appends = false;
  EXPECT_TRUE(world.finish(first));
  EXPECT_TRUE(world.finish(second));
}

TEST_P(EngineRaceTest, AMessageThatMeetsADeletionIsToldSo) {
  SessionKey key = idle_session();
  world.faults.hold_appends = true;
  auto deleted = world.begin(world.engine->delete_session(key));
  world.pause(5);
  auto sent = world.begin(world.engine->submit(key, message("too late"), std::nullopt));
  world.pause(5);
  world.faults.hold_appends = false;
  EXPECT_TRUE(world.finish(deleted));
  EXPECT_EQ(world.finish(sent).error().code, ErrorCode::kNotFound);

  key = idle_session();
  world.faults.hold_appends = true;
  sent = world.begin(world.engine->submit(key, message("in time"), std::nullopt));
  world.pause(5);
  deleted = world.begin(world.engine->delete_session(key));
  world.pause(5);
  world.faults.hold_appends = false;
  EXPECT_TRUE(world.finish(sent));
  EXPECT_EQ(world.finish(deleted).error().code, ErrorCode::kConflict);
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
}

// ---- cancelling
// ---------------------------------------------------------------------------------------

TEST_P(EngineRaceTest, ACancelThatMeetsTheAnswerHasOneOutcome) {
  for (int steps = 0; steps < 40; ++steps) {
    world.outside.answers.push_back({.chunks = {"one", "two"}});
    SessionKey key = world.create("go");
    for (int step = 0; step < steps; ++step) {
      world.io.restart();
      world.io.poll_one();
    }
    ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
    EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
    world.settle();
    auto turns = world.run(world.engine->turns(key, {}))->data;
    ASSERT_EQ(turns.size(), 1u);
    std::size_t answers = world.items(key).size() - 1;
    EXPECT_EQ(turns[0].status == TurnStatus::kCompleted, answers == 1) << steps;
    ASSERT_TRUE(world.send(key, "and on")) << steps;
    EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  }
}

TEST_P(EngineRaceTest, AResultAfterACancelIsAConflictAndTheSameResultAgainIsNot) {
  world.outside.answers.push_back({.calls = {function_call("c1", "look", "{}")}});
  world.outside.answers.push_back({.calls = {function_call("c1", "look", "{}")}});
  SessionKey key = world.create("go", agent_with({"look"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  PendingCall call = world.view(key)->required_actions.front();
  ASSERT_TRUE(world.answer(key, call, "first"));
  world.wait_for(key, SessionStatus::kRequiresAction);
  ASSERT_TRUE(world.answer(key, call, "second")) << "the model asked under the same name again";
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_TRUE(world.answer(key, call, "first"));
  EXPECT_TRUE(world.answer(key, call, "second"));
  EXPECT_EQ(world.answer(key, call, "third").error().code, ErrorCode::kConflict);

  world.outside.answers.push_back({.calls = {function_call("c9", "look", "{}")}});
  ASSERT_TRUE(world.send(key, "more"));
  world.wait_for(key, SessionStatus::kRequiresAction);
  call = world.view(key)->required_actions.front();
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  EXPECT_EQ(world.answer(key, call, "late").error().code, ErrorCode::kConflict);
}

TEST_P(EngineRaceTest, AResultIsRecognisedInALongTurnToo) {
  constexpr int kRounds = 60;
  for (int round = 0; round < kRounds; ++round) {
    world.outside.answers.push_back({});
    for (int i = 0; i < 5; ++i)
      world.outside.answers.back().calls.push_back(
          function_call("c" + std::to_string(round) + "_" + std::to_string(i), "look", "{}"));
  }
  SessionKey key = world.create("go", agent_with({"look"}));
  PendingCall last;
  for (int round = 0; round < kRounds; ++round) {
    world.wait_for(key, SessionStatus::kRequiresAction);
    std::vector<Input> results;
    for (const PendingCall& call : world.view(key)->required_actions) {
      results.push_back(InputToolResult{call.turn_id, call.call_id, true, "\"seen\"", {}});
      last = call;
    }
    ASSERT_TRUE(world.run(world.engine->submit(key, std::move(results), std::nullopt)));
  }
  world.wait_for(key, SessionStatus::kIdle);
  auto again = world.answer(key, last, "seen");
  EXPECT_TRUE(again) << again.error().message;
}

// ---- recovery and commands
// ----------------------------------------------------------------------------

TEST_P(EngineRaceTest, AMessageForASessionThatRecoveryHasNotReachedTakesItUp) {
  world.outside.answers.push_back({.chunks = {"half"}, .hang = true});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.requests.size() == 1; });
  world.stop();
  world.start(/*recover=*/false);
  EXPECT_EQ(world.view(key)->status, SessionStatus::kInProgress);
  ASSERT_TRUE(world.send(key, "and this"));
  world.run(World::ended(world.engine->recover(journal::all_shards())));
  world.run(World::ended(world.engine->recover(journal::all_shards())));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(world.outside.requests.size(), 2u) << "taken up once";
  EXPECT_THAT(last_context(), ElementsAre("user go", "user and this"));
}

TEST_P(EngineRaceTest, WhatIsSaidWhileTheConversationIsReadIsNotMissedLater) {
  SessionKey key = idle_session();
  world.restart();
  world.faults.hold_reads = true;
  ASSERT_TRUE(world.send(key, "one"));
  std::vector<Input> inputs;
  inputs.push_back(InputCancel{});
  inputs.push_back(InputMessage{{"two"}});
  inputs.push_back(InputCancel{});
  ASSERT_TRUE(world.run(world.engine->submit(key, std::move(inputs), std::nullopt)));
  world.pause(5);
  world.faults.hold_reads = false;
  world.pause(20);
  ASSERT_TRUE(world.send(key, "three"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(),
              ElementsAre("user first", "assistant ok", "user one", "user two", "user three"));
}

TEST_P(EngineRaceTest, RecoveryResumesTheFirstSessionBeforeItHasReadThemAll) {
  constexpr std::size_t kSessions = 150;
  world.outside.respond = [](const models::ModelRequest&) {
    return Answer{.chunks = {"x"}, .hang = true};
  };
  for (std::size_t i = 0; i < kSessions; ++i) world.create("go");
  world.until([&] { return world.outside.requests.size() == kSessions; });
  world.stop();
  world.outside.requests.clear();
  world.faults.loads = 0;
  world.outside.respond = nullptr;
  world.start(/*recover=*/false);
  auto recovery = world.begin(World::ended(world.engine->recover(journal::all_shards())));
  world.until([&] { return !world.outside.requests.empty(); });
  EXPECT_LT(world.faults.loads, kSessions);
  world.finish(recovery);
  world.until([&] { return world.engine->counters().turns_ended == kSessions; });
}

TEST_P(EngineRaceTest, RestartedModelCallsArePacedPerProvider) {
  constexpr int kSessions = 20;
  std::vector<SessionKey> keys;
  for (int i = 0; i < kSessions; ++i) {
    world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
    keys.push_back(world.create("go"));
  }
  world.until([&] { return world.outside.requests.size() == kSessions; });
  world.stop();
  for (int i = 0; i < 8; ++i) world.outside.answers.push_back({.chunks = {"y"}, .hang = true});
  world.start();
  world.pause(20);
  EXPECT_EQ(world.outside.requests.size(), kSessions + 8u) << "as many as may at once";
  // Whoever is cancelled, at work or still waiting, makes room for the next; nobody calls in vain.
  for (const SessionKey& key : keys)
    ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  world.until([&] { return world.engine->counters().turns_ended == kSessions; });
  world.settle();
  EXPECT_LE(world.outside.requests.size(), 2u * kSessions);
}

TEST_P(EngineRaceTest, NothingStartsOnceTheEngineDrains) {
  SessionKey key = idle_session();
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  std::size_t requests = world.outside.requests.size();
  world.faults.hold_appends = true;
  auto sent = world.begin(world.engine->submit(key, message("last"), std::nullopt));
  world.pause(5);
  auto drained = world.begin(World::ended(world.engine->drain()));
  world.pause(5);
  EXPECT_FALSE(drained->ended()) << "a command is still at work";
  world.faults.hold_appends = false;
  EXPECT_TRUE(world.finish(sent)) << "it is on disk";
  world.finish(drained);
  EXPECT_EQ(world.outside.requests.size(), requests);
  world.outside.answers.clear();
  world.restart();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
}

TEST_P(EngineRaceTest, WhatAToolHasDoneWhileTheEngineDrainsIsKept) {
  world.outside.tools_hang = true;
  world.outside.tools_ignore_cancel = true;
  world.outside.answers.push_back({.calls = {function_call("c1", "opaque", "{}")}});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.tool_runs.size() == 1; });
  world.restart();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_context().back(), "result counted");
}

// ---- actors in memory
// ---------------------------------------------------------------------------------

TEST_P(EngineRaceTest, ASessionThatLeavesMemoryAndComesBackHasOneActor) {
  Settings settings;
  settings.passivate_after_ms = 1;
  settings.max_awake = 0;
  World eager(GetParam(), settings);
  SessionKey key = eager.create("0");
  for (int i = 1; i < 30; ++i) {
    eager.env.advance(10);
    ASSERT_TRUE(eager.send(key, std::to_string(i)));
    EXPECT_EQ(eager.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  }
  EXPECT_EQ(eager.outside.requests.size(), 30u);
  eager.env.advance(1'000);
  eager.until([&] { return eager.engine->counters().sessions_awake == 0; });
}

TEST_P(EngineRaceTest, AClockThatGoesBackDoesNotKeepSessionsInMemory) {
  Settings settings;
  settings.passivate_after_ms = 5;
  World eager(GetParam(), settings);
  SessionKey key = eager.create("0");
  eager.wait_for(key, SessionStatus::kIdle);
  eager.env.advance(-3'600'000);
  eager.until([&] { return eager.engine->counters().sessions_awake == 0; });
}

// ---- two engines
// --------------------------------------------------------------------------------------

class ZombieTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(Stores, ZombieTest, testing::Values(Variant::kMemory, Variant::kRebuild),
                         variant_name);

TEST_P(ZombieTest, AnEngineThatLostASessionPublishesAndStartsNothingMore) {
  world.outside.tools_hang = true;
  world.outside.answers.push_back({.calls = {function_call("c1", "keyed", "{}")}});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.tool_runs.size() == 1; });
  auto old_stream = world.run(world.engine->subscribe(key, {}));
  std::uint64_t head = world.view(key)->head;

  journal::MemoryJournal newer(world.env, world.disk());
  std::unique_ptr<Engine> other = make_engine(world.parts_over(newer), {});
  world.run(World::ended(other->recover(journal::all_shards())));
  std::vector<Input> cancelled = cancel();
  ASSERT_TRUE(world.run(other->submit(key, std::move(cancelled), std::nullopt)));
  std::uint64_t moved = (*world.run(other->session(key)))->head;
  ASSERT_GT(moved, head);

  // The old engine's tool ends now; its result is refused, and so is what a client sends there.
  world.outside.tools_hang = false;
  world.pause(20);
  auto sent = world.send(key, "to the old one");
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ((*world.run(other->session(key)))->head, moved);
  EXPECT_EQ(world.outside.requests.size(), 1u) << "no model call was begun on either side";
  world.run(World::ended(other->drain()));
}

}  // namespace
}  // namespace perdure::engine
