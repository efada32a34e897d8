// Async functions: the model goes on at once, the turn ends, and the result comes when it comes.
// See async_results.h, engine_test_support.h.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/fold.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

const std::string kRuns = "result The function was started and runs in the background.";

class AsyncTest : public EngineTest {
 protected:
  static AgentConfig background(std::string name = "render") {
    AgentConfig agent = agent_with({std::move(name), "look"});
    agent.functions[0].async = true;
    return agent;
  }
  /// A session whose first turn has ended and left one call open.
  SessionKey with_open_call() {
    world.outside.answers.push_back({.calls = {function_call("c1", "render", R"({"n":1})")}});
    world.outside.answers.push_back({.chunks = {"It is being rendered."}});
    SessionKey key = world.create("render it", background());
    world.wait_for(key, SessionStatus::kIdle);
    return key;
  }
  std::size_t turns(const SessionKey& key) {
    return world.run(world.engine->turns(key, Page{{}, 100, true}))->data.size();
  }
  Result<Committed> fail_call(const SessionKey& key, const PendingCall& call, std::string error) {
    std::vector<Input> inputs;
    inputs.push_back(InputToolResult{call.turn_id, call.call_id, false, std::nullopt, error});
    return world.run(world.engine->submit(key, std::move(inputs), std::nullopt));
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, AsyncTest, all_variants(), variant_name);

TEST_P(AsyncTest, TheModelGoesOnAtOnceAndTheTurnEndsWithTheCallStillListed) {
  SessionKey key = with_open_call();
  EXPECT_THAT(last_context(), ElementsAre("user render it", "call c1", StartsWith(kRuns)));
  auto view = world.view(key);
  EXPECT_EQ(view->status, SessionStatus::kIdle);
  ASSERT_EQ(view->required_actions.size(), 1u);
  EXPECT_EQ(view->required_actions[0].name, "render");
  EXPECT_EQ(view->required_actions[0].arguments, R"({"n":1})");
  EXPECT_EQ(view->required_actions[0].turn_id, world.items(key).at(0).turn_id);
}

TEST_P(AsyncTest, ALateResultBeginsATurnAndFinishesTheCallsItem) {
  SessionKey key = with_open_call();
  PendingCall call = world.view(key)->required_actions.at(0);
  world.outside.answers.push_back({.chunks = {"Here it is."}});
  ASSERT_TRUE(world.answer(key, call, "a picture"));
  EXPECT_THAT(world.view(key)->required_actions, IsEmpty());
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(turns(key), 2u);
  EXPECT_THAT(
      last_context(),
      ElementsAre("user render it", "call c1", StartsWith(kRuns), "assistant It is being rendered.",
                  "user [The result of the call c1 of render, which ran in the "
                  "background:]\na picture"));
  auto items = world.items(key);
  ASSERT_EQ(items.size(), 5u);
  EXPECT_EQ(items[1].type, ItemType::kFunctionCall);
  EXPECT_EQ(items[1].status, ItemStatus::kCompleted);
  EXPECT_EQ(items[3].type, ItemType::kFunctionOutput);
  EXPECT_EQ(items[3].output, "\"a picture\"");
  EXPECT_EQ(items[3].turn_id, items[4].turn_id);
  EXPECT_NE(items[3].turn_id, items[1].turn_id);
  auto of_turn = world.run(world.engine->items(key, items[4].turn_id, Page{{}, 100, true},
                                               /*include_incomplete=*/false));
  EXPECT_EQ(of_turn->data.size(), 2u);
}

TEST_P(AsyncTest, AFailureIsToldAsOne) {
  SessionKey key = with_open_call();
  ASSERT_TRUE(fail_call(key, world.view(key)->required_actions.at(0), "out of paint"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context().at(4), HasSubstr("background:]\nError: out of paint"));
  EXPECT_EQ(world.items(key).at(1).status, ItemStatus::kFailed);
}

TEST_P(AsyncTest, AResultDuringATurnIsReadAtItsNextModelCall) {
  world.outside.answers.push_back(
      {.calls = {function_call("c1", "render", "{}"), function_call("c2", "look", "{}")}});
  SessionKey key = world.create("go", background());
  world.wait_for(key, SessionStatus::kRequiresAction);
  auto actions = world.view(key)->required_actions;
  ASSERT_EQ(actions.size(), 2u);
  const PendingCall& look = actions[0].name == "look" ? actions[0] : actions[1];
  const PendingCall& render = actions[0].name == "look" ? actions[1] : actions[0];
  ASSERT_TRUE(world.answer(key, render, "rendered"));
  EXPECT_EQ(world.view(key)->status, SessionStatus::kRequiresAction);
  world.restart();
  ASSERT_TRUE(world.answer(key, look, "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre("user go", "call c1", "call c2", StartsWith(kRuns),
                                          "result seen", HasSubstr("background:]\nrendered")));
  EXPECT_EQ(turns(key), 1u);
}

TEST_P(AsyncTest, AResultWhileTheModelAnswersComesBehindItsAnswer) {
  if (GetParam() == Variant::kPostgres) return;  // what takes no time elsewhere takes some there
  SessionKey key = with_open_call();
  PendingCall call = world.view(key)->required_actions.at(0);
  world.outside.answers.push_back({.chunks = {"I am"}, .hang = true});
  ASSERT_TRUE(world.send(key, "how far?"));
  world.until([&] { return world.outside.in_flight == 1; });
  ASSERT_TRUE(world.answer(key, call, "rendered"));
  EXPECT_EQ(world.view(key)->status, SessionStatus::kInProgress);
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(turns(key), 3u);  // the result was not read in the one that was cancelled
  EXPECT_THAT(last_context(), ElementsAre("user render it", "call c1", StartsWith(kRuns),
                                          "assistant It is being rendered.", "user how far?",
                                          HasSubstr("background:]\nrendered")));
}

TEST_P(AsyncTest, TheSameResultAgainIsTakenAndAnotherIsNot) {
  SessionKey key = with_open_call();
  PendingCall call = world.view(key)->required_actions.at(0);
  PendingCall stranger = call;
  stranger.call_id = "c9";
  EXPECT_EQ(world.answer(key, stranger, "x").error().reason, "unknown_call");
  ASSERT_TRUE(world.answer(key, call, "one"));
  world.wait_for(key, SessionStatus::kIdle);
  std::uint64_t head = world.view(key)->head;
  world.restart();
  EXPECT_TRUE(world.answer(key, call, "one"));
  auto other = world.answer(key, call, "two");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kConflict);
  EXPECT_THAT(other.error().message, HasSubstr("already accepted"));
  EXPECT_EQ(world.view(key)->head, head);
}

TEST_P(AsyncTest, ACancelAndARestartLeaveTheCallOpen) {
  world.outside.answers.push_back(
      {.calls = {function_call("c1", "render", "{}"), function_call("c2", "look", "{}")}});
  SessionKey key = world.create("go", background());
  world.wait_for(key, SessionStatus::kRequiresAction);
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  EXPECT_EQ(world.view(key)->status, SessionStatus::kIdle);
  for (std::uint64_t turn = 0; turn < kSnapshotEntries / 4; ++turn) {
    ASSERT_TRUE(world.send(key, "and on"));
    world.wait_for(key, SessionStatus::kIdle);
  }
  world.restart();
  auto actions = world.view(key)->required_actions;
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(actions[0].name, "render");
  ASSERT_TRUE(world.answer(key, actions[0], "rendered"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context().back(), HasSubstr("background:]\nrendered"));
}

TEST_P(AsyncTest, TheHistoryIsTheSameWheneverItIsRead) {
  SessionKey key = with_open_call();
  auto stream = world.run(world.engine->subscribe(key, StreamFrom{Place{0, 0}, false}));
  ASSERT_TRUE(stream);
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "a picture"));
  world.wait_for(key, SessionStatus::kIdle);
  std::vector<std::string> before = world.history(key);
  world.restart();
  EXPECT_EQ(world.history(key), before);
}

TEST_P(AsyncTest, ASnapshotAtAnyEntryFoldsOnToTheSame) {
  SessionKey key = with_open_call();
  PendingCall call = world.view(key)->required_actions.at(0);
  world.outside.answers.push_back(
      {.calls = {function_call("c2", "render", "{}"), function_call("c3", "look", "{}")}});
  ASSERT_TRUE(world.send(key, "and another"));
  world.wait_for(key, SessionStatus::kRequiresAction);
  ASSERT_TRUE(world.answer(key, call, "rendered"));
  auto actions = world.view(key)->required_actions;
  for (const PendingCall& open : actions) ASSERT_TRUE(world.answer(key, open, "done"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(world.view(key)->required_actions, IsEmpty());
  journal::EntryQuery query{.key = key, .limit = 100'000};
  SessionState whole;
  whole.key = key;
  for (const journal::Entry& entry : world.run(world.journal->read(query)).value()) {
    auto restored = from_snapshot(key, {whole.head, kSnapshotFormat, to_snapshot(whole)});
    ASSERT_TRUE(restored);
    ASSERT_TRUE(apply(whole, entry));
    ASSERT_TRUE(apply(*restored, entry));
    EXPECT_EQ(to_snapshot(*restored), to_snapshot(whole)) << "at " << entry.seq;
  }
}

TEST_P(AsyncTest, AnIdThatAnOpenCallHasIsNotGivenTwice) {
  SessionKey key = with_open_call();
  world.outside.answers.push_back({.calls = {function_call("c1", "render", "{}")}});
  ASSERT_TRUE(world.send(key, "another"));
  world.wait_for(key, SessionStatus::kIdle);
  auto actions = world.view(key)->required_actions;
  ASSERT_EQ(actions.size(), 2u);
  EXPECT_NE(actions[0].call_id, actions[1].call_id);
  ASSERT_TRUE(world.answer(key, actions[1], "second"));
  world.wait_for(key, SessionStatus::kIdle);
  ASSERT_EQ(world.view(key)->required_actions.size(), 1u);
  EXPECT_EQ(world.view(key)->required_actions[0].call_id, actions[0].call_id);
}

TEST_P(AsyncTest, TooManyOpenCallsAreToldToTheModel) {
  Answer many;
  for (std::size_t i = 0; i < kMaxOutstandingCalls; ++i)
    many.calls.push_back(function_call("c" + std::to_string(i), "render", "{}"));
  world.outside.answers.push_back(std::move(many));
  world.outside.answers.push_back({.calls = {function_call("more", "render", "{}")}});
  SessionKey key = world.create("go", background());
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(world.view(key)->required_actions.size(), kMaxOutstandingCalls);
  EXPECT_THAT(last_context().back(), HasSubstr("too many calls"));
}

TEST_P(AsyncTest, ASessionWithAnOpenCallCanBeDeleted) {
  SessionKey key = with_open_call();
  PendingCall call = world.view(key)->required_actions.at(0);
  ASSERT_TRUE(world.run(world.engine->delete_session(key)));
  EXPECT_EQ(world.answer(key, call, "late").error().code, ErrorCode::kNotFound);
}

TEST_P(AsyncTest, ArgumentsThatAreNoObjectGoToTheModelAndNotToTheClient) {
  for (std::string arguments : {"[1]", "7", "{broken", R"({"a":1,"a":2})"}) {
    for (const char* name : {"render", "look"}) {
      world.outside.answers.push_back({.calls = {function_call("c1", name, arguments)}});
      SessionKey key = world.create("go", background());
      EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
      EXPECT_THAT(last_context().back(), HasSubstr("The arguments were refused")) << arguments;
    }
  }
}

}  // namespace
}  // namespace perdure::engine
