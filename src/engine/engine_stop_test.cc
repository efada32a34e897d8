// The kill switch: what runs ends, what waits ends, nothing begins, and it stays so over restarts.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"

namespace perdure::engine {
namespace {

using policy::StopScope;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kSentence = "Stopped by an operator: it runs wild.";

class EngineStopTest : public EngineTest {
 protected:
  policy::StopOrder order(StopScope scope, std::string target) {
    return {world.project, scope, std::move(target), "it runs wild", "key_1", false};
  }
  policy::StopOrder order(const SessionKey& key) {
    return order(StopScope::kSession, key.session.value);
  }
  Stopped stop(policy::StopOrder what) {
    auto stopped = world.run(world.engine->stop(std::move(what)));
    if (!stopped) throw std::runtime_error(stopped.error().message);
    return *stopped;
  }
  void lift(const Stopped& stopped) {
    auto lifted = world.run(
        world.stops->lift(world.project, stopped.stop.id, "key_1", /*by_operator=*/false));
    ASSERT_TRUE(lifted) << lifted.error().message;
  }
  SessionKey create_in(std::optional<std::string> workstream, AgentConfig agent = {}) {
    CreateSession command{.project = world.project, .agent = std::move(agent)};
    if (command.agent.model.empty()) command.agent.model = "fake-model";
    command.workstream = std::move(workstream);
    command.input.push_back({{std::string("hello")}});
    auto created = world.run(world.engine->create_session(std::move(command)));
    if (!created) throw std::runtime_error(created.error().message);
    return created->session->key;
  }
  TurnView last_turn(const SessionKey& key) {
    auto turns = world.run(world.engine->turns(key, Page{{}, 1, false}));
    if (!turns || turns->data.empty()) throw std::runtime_error("there is no turn");
    return turns->data.front();
  }
  void expect_stopped(const SessionKey& key) {
    EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
    TurnView turn = last_turn(key);
    EXPECT_EQ(turn.status, TurnStatus::kFailed);
    ASSERT_TRUE(turn.error);
    EXPECT_EQ(turn.error->code, "invalid_request");
    EXPECT_EQ(turn.error->message, kSentence);
    EXPECT_THAT(world.run(world.journal->effects(key)).value(), IsEmpty());
    EXPECT_FALSE(world.run(world.journal->session(key))->open);
  }
  void expect_refused(const SessionKey& key) {
    auto refused = world.send(key, "go on");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
    EXPECT_EQ(refused.error().reason, "stopped");
    EXPECT_THAT(refused.error().message, HasSubstr("can lift it"));
  }
  /// A session whose model call streams and does not end.
  SessionKey hanging() {
    world.outside.answers.push_back({.chunks = {"half an"}, .hang = true});
    std::size_t before = world.outside.requests.size();
    SessionKey key = world.create("hello");
    world.until([&] { return world.outside.requests.size() == before + 1; });
    world.pause(3);
    return key;
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, EngineStopTest, all_variants(), variant_name);

TEST_P(EngineStopTest, ARunningModelCallEndsAndSaysWhy) {
  SessionKey key = hanging();
  auto stream = world.run(world.engine->subscribe(key, StreamFrom{})).value();
  EXPECT_EQ(stop(order(key)).calls_cancelled, 1u);
  std::vector<EventType> types;
  std::string error;
  while (types.empty() || types.back() != EventType::kSessionIdle) {
    auto batch = world.run(stream->next());
    ASSERT_TRUE(batch && *batch);
    for (const auto& event : **batch) {
      if (event->durable) types.push_back(event->type);
      if (event->type == EventType::kError) error = event->error->message;
    }
  }
  EXPECT_THAT(types, ::testing::ElementsAre(EventType::kItemDone, EventType::kError,
                                            EventType::kTurnFailed, EventType::kSessionIdle));
  EXPECT_EQ(error, kSentence);
  expect_stopped(key);
  std::vector<ItemView> all = world.items(key, /*incomplete=*/true);
  EXPECT_EQ(all.back().status, ItemStatus::kIncomplete);
  EXPECT_EQ(all.back().parts.front().text, "half an");
  expect_refused(key);
  EXPECT_THAT(world.outside.requests, SizeIs(1));
}

TEST_P(EngineStopTest, AfterTheLiftTheSessionGoesOnAndNothingBeginsByItself) {
  SessionKey key = hanging();
  EXPECT_TRUE(world.send(key, "and this"));  // waits for the running turn: it was acknowledged
  Stopped stopped = stop(order(key));
  expect_stopped(key);
  lift(stopped);
  world.pause(20);
  EXPECT_THAT(world.outside.requests, SizeIs(1));
  EXPECT_EQ(world.view(key)->status, SessionStatus::kIdle);
  EXPECT_TRUE(world.send(key, "again"));
  world.until([&] { return world.outside.requests.size() == 2; });
  EXPECT_THAT(last_context(), ::testing::ElementsAre("user hello", "user and this", "user again"));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
}

TEST_P(EngineStopTest, EveryScopeReachesItsSessionsAndNoOthers) {
  world.outside.respond = [](const auto&) { return Answer{.hang = true}; };
  AgentConfig agent = agent_with({});
  agent.id = "agt_wild";
  SessionKey by_agent = create_in(std::nullopt, agent);
  SessionKey by_workstream = create_in("launch");
  SessionKey other = create_in("upkeep");
  world.until([&] { return world.outside.requests.size() == 3; });
  EXPECT_EQ(stop(order(StopScope::kAgent, "agt_wild")).calls_cancelled, 1u);
  expect_stopped(by_agent);
  EXPECT_EQ(stop(order(StopScope::kWorkstream, "launch")).calls_cancelled, 1u);
  expect_stopped(by_workstream);
  EXPECT_EQ(world.view(other)->status, SessionStatus::kInProgress);
  EXPECT_THROW(create_in("launch"), std::runtime_error);
  EXPECT_THROW(create_in(std::nullopt, agent), std::runtime_error);
  EXPECT_EQ(stop(order(StopScope::kProject, world.project.value)).calls_cancelled, 1u);
  expect_stopped(other);
  EXPECT_THROW(create_in(std::nullopt), std::runtime_error);
  EXPECT_THAT(world.outside.requests, SizeIs(3));
}

TEST_P(EngineStopTest, AToolThatIgnoresTheCancelIsUnknown) {
  world.outside.tools_hang = world.outside.tools_deaf = true;
  world.outside.answers.push_back({.calls = {function_call("c1", "opaque", "{}")}});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.tool_runs.size() == 1; });
  EXPECT_EQ(stop(order(key)).calls_cancelled, 1u);
  expect_stopped(key);
  std::vector<ItemView> all = world.items(key, true);
  EXPECT_EQ(all.back().status, ItemStatus::kIncomplete);
  EXPECT_THAT(all.back().error.value_or(""), HasSubstr("whether it took effect is unknown"));
  std::vector<std::string> before = world.history(key);
  world.outside.tools_hang = false;  // it comes back, and nobody wants its result any more
  world.pause(10);
  EXPECT_EQ(world.history(key), before);
  EXPECT_THAT(world.outside.requests, SizeIs(1));
}

TEST_P(EngineStopTest, AWaitingFunctionEndsAlsoWhereTheSessionSleeps) {
  world.outside.answers.push_back({.calls = {function_call("c1", "look", "{}")}});
  world.outside.answers.push_back({.calls = {function_call("c2", "look", "{}")}});
  SessionKey awake = world.create("go", agent_with({"look"}));
  EXPECT_EQ(world.wait_for(awake, SessionStatus::kRequiresAction), SessionStatus::kRequiresAction);
  SessionKey asleep = world.create("go", agent_with({"look"}));
  EXPECT_EQ(world.wait_for(asleep, SessionStatus::kRequiresAction), SessionStatus::kRequiresAction);
  PendingCall call = world.view(asleep)->required_actions.front();
  world.restart();  // now both sleep: they owe nothing, so recovery leaves them
  world.view(awake);
  EXPECT_EQ(stop(order(StopScope::kProject, world.project.value)).calls_cancelled, 0u);
  auto refused = world.answer(asleep, call, "late");
  EXPECT_EQ(refused.error().reason, "stopped");
  expect_stopped(awake);
  expect_stopped(asleep);
}

TEST_P(EngineStopTest, TheSweepEndsWhatNobodyLooksAt) {
  world.outside.answers.push_back({.calls = {function_call("c1", "look", "{}")}});
  SessionKey key = world.create("go", agent_with({"look"}));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kRequiresAction), SessionStatus::kRequiresAction);
  world.restart();
  stop(order(StopScope::kProject, world.project.value));
  world.until([&] { return world.engine->counters().turns_ended == 1; });
  expect_stopped(key);
}

TEST_P(EngineStopTest, ARetryPauseEnds) {
  world.outside.answers.push_back(
      {.failure = models::ModelFailure{
           .code = "server_overloaded", .message = "busy", .retryable = true}});
  SessionKey key = world.create("go");
  world.until([&] { return world.engine->counters().model_calls_abandoned == 1; });
  stop(order(key));
  expect_stopped(key);
  EXPECT_EQ(world.run(world.journal->next_timer(journal::all_shards())).value(), std::nullopt);
  world.env.advance(60'000);
  world.engine->check_timers();
  world.pause(10);
  EXPECT_THAT(world.outside.requests, SizeIs(1));
}

TEST_P(EngineStopTest, ALostCallOfAStoppedSessionIsNotMadeAnew) {
  world.outside.tools_hang = true;
  world.outside.answers.push_back({.hang = true});
  world.outside.answers.push_back(
      {.calls = {function_call("c1", "opaque", "{}"), function_call("c2", "keyed", "{}")}});
  SessionKey model = world.create("hello");
  world.until([&] { return world.outside.requests.size() == 1; });
  SessionKey tools = world.create("hello");
  world.until([&] { return world.outside.tool_runs.size() == 2; });
  // The process dies when the stop is durable and nobody has been told.
  ASSERT_TRUE(world.run(world.stops->add(order(StopScope::kProject, world.project.value))));
  world.restart();
  expect_stopped(model);
  expect_stopped(tools);
  EXPECT_THAT(world.outside.requests, SizeIs(2));
  for (const auto& [effect, runs] : world.outside.tool_runs) EXPECT_EQ(runs, 1);
  expect_refused(model);
  world.restart();
  expect_refused(model);
  EXPECT_EQ(world.stops->count(), 1u);
}

TEST_P(EngineStopTest, ACallWhoseIntentIsOnItsWayToTheDiskIsNotMade) {
  SessionKey key = world.create("");
  for (bool creation : {false, true}) {
    world.faults.hold_appends = true;
    std::size_t appended = world.faults.appended.size();
    auto sent = world.begin([](Engine* engine, SessionKey to) -> Task<Result<Committed>> {
      std::vector<Input> inputs;
      inputs.push_back(InputMessage{{std::string("go")}});
      co_return co_await engine->submit(std::move(to), std::move(inputs), std::nullopt);
    }(world.engine.get(), key));
    CreateSession command{.project = world.project, .agent = {.model = "fake-model"}};
    command.workstream = "launch";
    command.input.push_back({{std::string("hello")}});
    std::shared_ptr<World::Pending<Result<Created>>> created;
    if (creation) created = world.begin(world.engine->create_session(std::move(command)));
    world.until([&] { return world.faults.appended.size() == appended + (creation ? 2 : 1); });
    auto stopping = world.begin(world.engine->stop(
        creation ? order(StopScope::kProject, world.project.value) : order(key)));
    world.until([&] { return stopping->ended(); });  // does not wait for the store of the session
    Stopped stopped = world.finish(stopping).value();
    world.faults.hold_appends = false;
    EXPECT_TRUE(world.finish(sent)) << "it was taken before the stop";
    expect_stopped(key);
    if (creation) {
      auto made = world.finish(created);
      ASSERT_TRUE(made);
      expect_stopped(made->session->key);
    }
    EXPECT_THAT(world.outside.requests, IsEmpty());
    lift(stopped);
  }
}

TEST_P(EngineStopTest, NothingStartsWhileTheStopIsBeingWritten) {
  SessionKey key = world.create("");
  world.faults.hold_appends = true;
  world.faults.hold_rows = true;
  std::size_t appended = world.faults.appended.size();
  auto sent = world.begin([](Engine* engine, SessionKey to) -> Task<Result<Committed>> {
    std::vector<Input> inputs;
    inputs.push_back(InputMessage{{std::string("go")}});
    co_return co_await engine->submit(std::move(to), std::move(inputs), std::nullopt);
  }(world.engine.get(), key));
  world.until([&] { return world.faults.appended.size() == appended + 1; });
  auto stopping = world.begin(world.engine->stop(order(key)));
  world.until([&] { return world.stops->count() == 1; });  // marked, not written
  EXPECT_FALSE(stopping->ended());
  world.faults.hold_appends = false;
  EXPECT_TRUE(world.finish(sent));
  world.pause(10);
  EXPECT_THAT(world.outside.requests, IsEmpty());
  // The store refuses the stop: what was held back goes on.
  world.faults.refuse_row = [](const journal::Row&) {
    return Error{ErrorCode::kUnavailable, "planted", {}, {}};
  };
  world.faults.hold_rows = false;
  EXPECT_EQ(world.finish(stopping).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_THAT(texts(key), Contains("ok"));
}

TEST_P(EngineStopTest, AStoreThatRefusesTheEndIsAskedAgain) {
  SessionKey key = hanging();
  world.faults.refuse = [](const journal::Append&) {
    return Error{ErrorCode::kUnavailable, "planted", {}, {}};
  };
  stop(order(key));
  world.pause(30);
  EXPECT_EQ(world.view(key)->status, SessionStatus::kInProgress);
  world.faults.refuse = nullptr;
  expect_stopped(key);
}

TEST_P(EngineStopTest, ReadsListsCancelsAndDeletionGoOn) {
  SessionKey key = hanging();
  stop(order(key));
  expect_stopped(key);
  EXPECT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  EXPECT_THAT(world.run(world.engine->sessions(world.project, {}, {}))->data, SizeIs(1));
  EXPECT_FALSE(world.history(key).empty());
  EXPECT_TRUE(world.run(world.engine->delete_session(key)));
}

TEST_P(EngineStopTest, ASessionThatIsNotThereCannotBeStopped) {
  auto stopped = world.run(world.engine->stop(order(StopScope::kSession, "sess_nobody")));
  EXPECT_EQ(stopped.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(world.stops->count(), 0u);
}

}  // namespace
}  // namespace perdure::engine
