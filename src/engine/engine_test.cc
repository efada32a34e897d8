// What the engine promises, over every store. See engine_test_support.h.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Stores, EngineTest, all_variants(), variant_name);

TEST_P(EngineTest, APlainTurnEndsIdleWithTheAnswer) {
  world.outside.answers.push_back({.chunks = {"Hel", "lo."}});
  SessionKey key = world.create("hi");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(texts(key), ElementsAre("hi", "Hello."));
  EXPECT_EQ(world.view(key)->usage->total(), 15);
}

TEST_P(EngineTest, APlainTurnIsTwoCommitsAndAToolRoundTwoMore) {
  SessionKey key = world.create("hi");
  world.wait_for(key, SessionStatus::kIdle);
  std::uint64_t before = world.journal->stats().appends;
  ASSERT_TRUE(world.send(key, "again"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(world.journal->stats().appends - before, 2u);

  world.outside.answers.push_back({.calls = {function_call("c1", "look", "{}")}});
  SessionKey tool = world.create("use it", agent_with({"look"}));
  before = world.journal->stats().appends;
  world.wait_for(tool, SessionStatus::kRequiresAction);
  ASSERT_TRUE(world.answer(tool, world.view(tool)->required_actions.front(), "seen"));
  world.wait_for(tool, SessionStatus::kIdle);
  EXPECT_EQ(world.journal->stats().appends - before, 3u);  // its creation was counted before
}

TEST_P(EngineTest, TheNextTurnSeesTheFirst) {
  world.outside.answers.push_back({.chunks = {"one"}});
  SessionKey key = world.create("first");
  world.wait_for(key, SessionStatus::kIdle);
  ASSERT_TRUE(world.send(key, "second"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre("user first", "assistant one", "user second"));
}

TEST_P(EngineTest, TheAgentsSettingsReachTheModel) {
  AgentConfig agent = agent_with({"look"});
  agent.instructions = "Be brief.";
  agent.reasoning_effort = "high";
  agent.reasoning_summary = "detailed";
  agent.verbosity = "low";
  agent.text_schema = R"({"type":"object"})";
  SessionKey key = world.create("hi", agent);
  world.wait_for(key, SessionStatus::kIdle);
  const models::ModelRequest& asked = world.outside.requests.back();
  EXPECT_EQ(asked.instructions, "Be brief.");
  EXPECT_EQ(asked.tools.at(0).name, "look");
  EXPECT_EQ(asked.reasoning_effort, "high");
  EXPECT_EQ(asked.reasoning_summary, "detailed");
  EXPECT_EQ(asked.verbosity, "low");
  EXPECT_EQ(asked.text_format, R"({"type":"object"})");
}

TEST_P(EngineTest, AFunctionCallWaitsForTheClientAndGoesOnWithItsResult) {
  world.outside.answers.push_back(
      {.chunks = {"Let me look."}, .calls = {function_call("c1", "look", R"({"at":"x"})")}});
  world.outside.answers.push_back({.chunks = {"It is blue."}});
  SessionKey key = world.create("what colour?", agent_with({"look"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  auto view = world.view(key);
  ASSERT_EQ(view->required_actions.size(), 1u);
  EXPECT_EQ(view->required_actions[0].arguments, R"({"at":"x"})");
  ASSERT_TRUE(world.answer(key, view->required_actions[0], "blue"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(),
              ElementsAre("user what colour?", "assistant Let me look.", "call c1", "result blue"));
  auto items = world.items(key);
  ASSERT_EQ(items.size(), 5u);
  EXPECT_EQ(items[1].phase, Phase::kCommentary);
  EXPECT_EQ(items[2].status, ItemStatus::kCompleted);
  EXPECT_EQ(items[4].phase, Phase::kFinalAnswer);
}

TEST_P(EngineTest, ResultsAreTakenOnceAndRefusedWithReasons) {
  world.outside.answers.push_back({.calls = {function_call("c1", "look", "{}")}});
  SessionKey key = world.create("go", agent_with({"look"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  PendingCall call = world.view(key)->required_actions.front();
  PendingCall stranger = call;
  stranger.call_id = "c9";
  auto unknown = world.answer(key, stranger, "x");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message, "Unknown pending tool call: c9");
  EXPECT_EQ(unknown.error().reason, "unknown_call");
  ASSERT_TRUE(world.answer(key, call, "x"));
  world.wait_for(key, SessionStatus::kIdle);
  std::uint64_t head = world.view(key)->head;
  EXPECT_TRUE(world.answer(key, call, "x")) << "the same again is fine";
  auto other = world.answer(key, call, "y");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kConflict);
  EXPECT_EQ(world.view(key)->head, head) << "neither left anything behind";
}

TEST_P(EngineTest, ArgumentsThatTwoReadersCouldTakeDifferentlyAreNotOffered) {
  world.outside.answers.push_back({.calls = {function_call("c1", "look", R"({"a":1,"a":2})")}});
  SessionKey key = world.create("go", agent_with({"look"}));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(last_context().back(), HasSubstr("The arguments were refused"));
}

TEST_P(EngineTest, AMessageDuringATurnJoinsItAtTheNextModelCall) {
  world.outside.answers.push_back({.calls = {function_call("c1", "look", "{}")}});
  SessionKey key = world.create("go", agent_with({"look"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  ASSERT_TRUE(world.send(key, "and hurry"));
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.front(), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre("user go", "call c1", "result seen", "user and hurry"));
  EXPECT_EQ(world.run(world.engine->turns(key, {}))->data.size(), 1u);
}

TEST_P(EngineTest, AMessageAfterTheLastModelCallStartsTheNextTurn) {
  world.outside.answers.push_back({.chunks = {"thinking"}, .hang = true});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.requests.size() == 1; });
  ASSERT_TRUE(world.send(key, "one"));
  ASSERT_TRUE(world.send(key, "two"));
  std::vector<Input> cancel;
  cancel.push_back(InputCancel{});
  ASSERT_TRUE(world.run(world.engine->submit(key, std::move(cancel), std::nullopt)));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  auto turns = world.run(world.engine->turns(key, Page{{}, 20, true}))->data;
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0].status, TurnStatus::kCancelled);
  EXPECT_EQ(turns[1].status, TurnStatus::kCompleted);
  EXPECT_THAT(last_context(), ElementsAre("user go", "user one", "user two"));
}

TEST_P(EngineTest, OnlySoManyMessagesWaitForARunningTurn) {
  world.outside.answers.push_back({.chunks = {"..."}, .hang = true});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.in_flight == 1; });
  auto send = [&](std::size_t count) {
    std::vector<Input> inputs(count, InputMessage{{"more"}});
    return world.run(world.engine->submit(key, std::move(inputs), std::nullopt));
  };
  for (std::size_t sent = 0; sent < kMaxQueuedInputs; sent += kMaxInputsPerBatch)
    ASSERT_TRUE(send(kMaxInputsPerBatch));
  auto refused = send(1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kRateLimited);
  EXPECT_EQ(refused.error().reason, "active_turn_not_steerable");
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(last_context().size(), 1 + kMaxQueuedInputs) << "whoever was accepted is heard";
  EXPECT_TRUE(send(1));
}

TEST_P(EngineTest, AModelCallThatTheProcessDidNotSurviveIsMadeAgain) {
  world.outside.answers.push_back({.chunks = {"half an ans"}, .hang = true});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.requests.size() == 1; });
  world.settle();
  world.outside.answers.push_back({.chunks = {"whole answer"}});
  world.restart();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(texts(key), ElementsAre("go", "whole answer"));
  EXPECT_THAT(last_context(), ElementsAre("user go"));
  EXPECT_EQ(world.items(key, /*incomplete=*/true).size(), 3u) << "the half answer is closed";
}

TEST_P(EngineTest, AnOpaqueEffectIsNeverRepeatedAndAKeyedOneIsWithItsKey) {
  world.outside.tools_hang = true;
  world.outside.answers.push_back(
      {.calls = {function_call("c1", "opaque", "{}"), function_call("c2", "keyed", "{}")}});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.tool_runs.size() == 2; });
  world.restart();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  int once = 0, twice = 0;
  for (const auto& [effect, runs] : world.outside.tool_runs) (runs == 1 ? once : twice) += 1;
  EXPECT_EQ(once, 1);
  EXPECT_EQ(twice, 1);
  EXPECT_THAT(last_context(),
              ElementsAre("user go", "call c1", "call c2",
                          HasSubstr("The outcome of this call is unknown"), "result counted"));
}

TEST_P(EngineTest, WhatPolicyDeniesDoesNotHappen) {
  world.policy.denied = "opaque";
  world.outside.answers.push_back({.calls = {function_call("c1", "opaque", "{}")}});
  SessionKey key = world.create("go");
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_TRUE(world.outside.tool_runs.empty());
  EXPECT_THAT(last_context().back(), HasSubstr("it is forbidden here"));
}

TEST_P(EngineTest, AFailedModelCallIsRetriedByADurableTimer) {
  models::ModelFailure failure{
      .code = "server_overloaded", .message = "busy", .retryable = true, .retry_after_ms = 2000};
  world.outside.answers.push_back({.failure = failure});
  SessionKey key = world.create("go");
  world.until([&] { return world.engine->counters().model_calls_abandoned == 1; });
  world.restart();  // the timer is durable
  EXPECT_EQ(world.outside.requests.size(), 1u);
  EXPECT_EQ(world.view(key)->status, SessionStatus::kInProgress);
  world.env.advance(60'000);
  world.engine->check_timers();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(world.outside.requests.size(), 2u);
}

TEST_P(EngineTest, AFailureThatRepeatsEndsTheTurnAndLeavesTheSessionUsable) {
  models::ModelFailure failure{.code = "invalid_request", .message = "no such thing"};
  world.outside.answers.push_back({.failure = failure});
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  auto turn = world.run(world.engine->turns(key, {}))->data.front();
  EXPECT_EQ(turn.status, TurnStatus::kFailed);
  EXPECT_EQ(turn.error->code, "invalid_request");
  ASSERT_TRUE(world.send(key, "again"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre("user go", "user again"));
}

TEST_P(EngineTest, AStreamRejoinedBehindAnyDurableEventGivesExactlyTheRest) {
  world.outside.answers.push_back(
      {.chunks = {"Look", "ing."}, .calls = {function_call("c1", "look", "{}")}});
  SessionKey key = world.create("go", agent_with({"look"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.front(), "seen"));
  world.wait_for(key, SessionStatus::kIdle);

  auto read = [&](Place after) {
    std::vector<std::string> ids;
    auto stream = world.run(world.engine->subscribe(key, StreamFrom{after, true}));
    while (true) {
      auto batch = world.run((*stream)->next());
      if (!batch || !*batch) return ids;
      for (const auto& event : **batch)
        if (event->durable) ids.push_back(event->id());
    }
  };
  std::vector<std::string> all = read({0, 0});
  ASSERT_GT(all.size(), 15u);
  world.restart();
  for (std::size_t cut = 0; cut + 1 < all.size(); ++cut) {
    std::vector<std::string> rest(all.begin() + static_cast<long>(cut) + 1, all.end());
    EXPECT_EQ(read(*parse_event_id(all[cut], key.session)), rest) << "cut behind " << cut;
  }
}

TEST_P(EngineTest, ALiveStreamAndALaterReplayShowTheSameEvents) {
  world.outside.answers.push_back({.chunks = {"a", "b", "c"}});
  SessionKey key = world.create("first");
  world.wait_for(key, SessionStatus::kIdle);
  world.outside.answers.push_back({.chunks = {"one ", "two ", "three"}});
  std::uint64_t head = world.view(key)->head;
  auto live = world.run(world.engine->subscribe(key, StreamFrom{std::nullopt, true}));
  ASSERT_TRUE(world.send(key, "count"));
  auto drain = [&](Subscription& stream) {
    std::vector<std::string> ids;
    while (true) {
      auto batch = world.run(stream.next());
      if (!batch || !*batch) return ids;
      for (const auto& event : **batch) ids.push_back(event->id() + " " + event->text);
    }
  };
  std::vector<std::string> seen = drain(**live);
  auto replay = world.run(world.engine->subscribe(key, StreamFrom{Place{head, 0xffff}, true}));
  EXPECT_EQ(drain(**replay), seen);
  EXPECT_GT(seen.size(), 12u);
}

TEST_P(EngineTest, DeletingIsRefusedWhileATurnRunsAndFinalAfterwards) {
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  SessionKey key = world.create("go");
  auto busy = world.run(world.engine->delete_session(key));
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code, ErrorCode::kConflict);
  std::vector<Input> cancel;
  cancel.push_back(InputCancel{});
  ASSERT_TRUE(world.run(world.engine->submit(key, std::move(cancel), std::nullopt)));
  ASSERT_TRUE(world.run(world.engine->delete_session(key)));
  ASSERT_TRUE(world.run(world.engine->delete_session(key))) << "again is fine";
  EXPECT_EQ(world.run(world.engine->session(key)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(world.send(key, "hello?").error().code, ErrorCode::kNotFound);
}

TEST_P(EngineTest, ASnapshotFoldsToTheSameStateAsTheWholeLog) {
  SessionKey key = world.create("turn 0");
  for (int turn = 1; turn <= 40; ++turn) {
    world.wait_for(key, SessionStatus::kIdle);
    ASSERT_TRUE(world.send(key, "turn " + std::to_string(turn)));
  }
  world.wait_for(key, SessionStatus::kIdle);
  auto loaded = world.run(world.journal->load(key, ~0ULL));
  ASSERT_TRUE(loaded);
  ASSERT_TRUE(loaded->snapshot) << "there was reason for one";
  EXPECT_LT(loaded->snapshot->body.size(), 4096u);
  std::vector<std::string> before = world.history(key);
  world.restart();
  EXPECT_EQ(world.history(key), before);
  EXPECT_EQ(last_context().size(), 81u);
}

TEST_P(EngineTest, AnotherProjectSeesNothing) {
  SessionKey key = world.create("secret");
  world.wait_for(key, SessionStatus::kIdle);
  SessionKey other{{"other"}, key.session};
  EXPECT_EQ(world.run(world.engine->session(other)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(world.send(other, "hello").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(world.run(world.engine->subscribe(other, {})).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(world.run(world.engine->delete_session(other)).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(world.run(world.engine->sessions(other.project, {}, {}))->data.empty());
}

}  // namespace
}  // namespace perdure::engine
