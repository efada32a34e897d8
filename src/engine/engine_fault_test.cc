// What the engine promises when something under or beside it fails: the store, a provider, a tool,
// the bytes it reads. See engine_test_support.h and fault_journal.h.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/entry_bodies.h"
#include "engine/limits.h"
#include "journal/limits.h"

namespace perdure::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class EngineFaultTest : public EngineTest {
 protected:
  /// Refuses appends that hold an entry of this kind, while it says so.
  void refuse_kind(journal::Kind kind, ErrorCode code, int times = 1 << 20) {
    auto left = std::make_shared<int>(times);
    world.faults.refuse = [=](const journal::Append& append) -> std::optional<Error> {
      for (const journal::EntryDraft& entry : append.entries)
        if (entry.kind == kind && (*left)-- > 0) return Error{code, "planted", {}, {}};
      return std::nullopt;
    };
  }
  bool is_on_disk(journal::Kind kind) {
    for (const journal::Append& append : world.faults.appended)
      for (const journal::EntryDraft& entry : append.entries)
        if (entry.kind == kind) return true;
    return false;
  }
  TurnView last_turn(const SessionKey& key) {
    return world.run(world.engine->turns(key, {}))->data.front();
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, EngineFaultTest, all_variants(), variant_name);

// ---- providers and tools that break -------------------------------------------------------------

TEST_P(EngineFaultTest, AProviderThatThrowsIsAFailedAttempt) {
  world.outside.answers.push_back({.chunks = {"half"}, .throws = true});
  SessionKey key = world.create("go");
  world.until([&] { return world.engine->counters().model_calls_abandoned == 1; });
  world.env.advance(60'000);
  world.engine->check_timers();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
}

TEST_P(EngineFaultTest, AToolThatThrowsIsAFailedCall) {
  world.outside.tools_throw = true;
  world.outside.answers.push_back({.calls = {function_call("c1", "opaque", "{}")}});
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(last_context().back(), HasSubstr("the tool is broken"));
}

TEST_P(EngineFaultTest, AToolsResultThatIsNotTextEndsItsCall) {
  world.outside.tool_output = "caf\xe9 \xff";
  world.outside.answers.push_back({.calls = {function_call("c1", "opaque", "{}")}});
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(last_context().back(), HasSubstr("caf\xef\xbf\xbd"));
}

TEST_P(EngineFaultTest, AToolsResultThatIsTooLongIsCutAndSaysSo) {
  world.outside.tool_output = std::string(journal::kMaxEntryBytes + 1, 'x');
  world.outside.answers.push_back({.calls = {function_call("c1", "opaque", "{}")}});
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_LT(last_context().back().size(), 2u << 20);
  EXPECT_THAT(last_context().back(), HasSubstr("33554433 bytes"));
}

TEST_P(EngineFaultTest, AnAnswerThatCannotBeStoredFailsTheTurn) {
  world.outside.answers.push_back({.text = "caf\xe9"});
  world.outside.answers.back().chunks = {"caf"};
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kFailed);
  EXPECT_EQ(last_turn(key).error->code, "server_error");
  ASSERT_TRUE(world.send(key, "again"));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
}

TEST_P(EngineFaultTest, CallsWithMoreArgumentsThanTheStateHoldsFailTheTurn) {
  std::string megabytes = "{\"x\":\"" + std::string(5 << 20, 'x') + "\"}";
  world.outside.answers.push_back({.calls = {function_call("c1", "look", megabytes)}});
  SessionKey key = world.create("go", agent_with({"look"}));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kFailed);
  EXPECT_THAT(last_turn(key).error->message, HasSubstr("arguments"));
}

TEST_P(EngineFaultTest, ReasoningDoesNotCountAsCalls) {
  models::OutputItem thought;
  thought.type = models::OutputType::kReasoning;
  thought.text = "hm";
  world.outside.answers.push_back({.chunks = {"so"}});
  for (std::size_t i = 0; i < kMaxCallsPerResponse; ++i)
    world.outside.answers.back().calls.push_back(thought);
  SessionKey key = world.create("go");
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
}

TEST_P(EngineFaultTest, AStreamCanBeRejoinedWhereDeltasAndTextDiffer) {
  world.outside.answers.push_back({.chunks = {"a longer text", " than", " this"}, .text = "short"});
  SessionKey key = world.create("go");
  world.wait_for(key, SessionStatus::kIdle);
  auto stream = world.run(world.engine->subscribe(key, StreamFrom{Place{0, 0}, true}));
  std::string deltas;
  while (true) {
    auto batch = world.run((*stream)->next());
    ASSERT_TRUE(batch) << batch.error().message;
    if (!*batch) break;
    for (const auto& event : **batch)
      if (event->type == EventType::kTextDelta) deltas += event->text;
  }
  EXPECT_EQ(deltas, "short");
}

// ---- a store that refuses
// -------------------------------------------------------------------------

TEST_P(EngineFaultTest, ARefusedCreationLeavesNothingBehind) {
  for (ErrorCode code : {ErrorCode::kUnavailable, ErrorCode::kRateLimited, ErrorCode::kInternal}) {
    refuse_kind(journal::kSessionCreated, code);
    CreateSession command;
    command.project = world.project;
    command.id = derive_session_id(world.project, "key");
    command.agent = agent_with({});
    command.input.push_back({{"hello"}});
    auto refused = world.run(world.engine->create_session(command));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, code);
    SessionKey key{world.project, *command.id};
    EXPECT_EQ(world.run(world.engine->session(key)).error().code, ErrorCode::kNotFound);
  }
  world.faults.refuse = nullptr;
  CreateSession command;
  command.project = world.project;
  command.id = derive_session_id(world.project, "key");
  command.agent = agent_with({});
  command.metadata["bad"] = "\xff";
  EXPECT_FALSE(world.run(world.engine->create_session(command))) << "it cannot be written";
  command.metadata.clear();
  EXPECT_TRUE(world.run(world.engine->create_session(command))) << "the id is still free";
  EXPECT_EQ(world.outside.requests.size(), 0u);
}

TEST_P(EngineFaultTest, ARefusedMessageIsAnErrorAndChangesNothing) {
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  SessionKey key = world.create("go");
  std::uint64_t head = world.view(key)->head;
  refuse_kind(journal::kInputQueued, ErrorCode::kUnavailable);
  for (int i = 0; i < 3; ++i) {
    auto refused = world.send(key, "refused " + std::to_string(i));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  }
  EXPECT_EQ(world.view(key)->head, head);
  world.faults.refuse = nullptr;
  ASSERT_TRUE(world.send(key, "taken"));
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre("user go", "user taken"));
}

TEST_P(EngineFaultTest, AnAnswerWaitsForAFullDiskAndCommandsDoNot) {
  world.outside.answers.push_back({.chunks = {"an answer"}});
  refuse_kind(journal::kModelCallFinished, ErrorCode::kUnavailable);
  SessionKey key = world.create("go");
  world.pause(50);
  EXPECT_EQ(world.view(key)->status, SessionStatus::kInProgress);
  ASSERT_TRUE(world.send(key, "meanwhile")) << "the mailbox is free between two tries";
  world.faults.refuse = nullptr;
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre("user go", "assistant an answer", "user meanwhile"));
  EXPECT_EQ(world.outside.requests.size(), 2u) << "nothing was asked twice";
}

TEST_P(EngineFaultTest, ATurnWhoseAnswerCannotBeStoredCanBeCancelled) {
  for (ErrorCode code : {ErrorCode::kUnavailable, ErrorCode::kRateLimited, ErrorCode::kInternal}) {
    world.outside.answers.push_back({.chunks = {"an answer"}});
    refuse_kind(journal::kModelCallFinished, code);
    SessionKey key = world.create("go");
    world.pause(20);
    ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
    world.faults.refuse = nullptr;
    EXPECT_EQ(world.view(key)->status, SessionStatus::kIdle);
    world.pause(5);
    EXPECT_EQ(last_turn(key).status, TurnStatus::kCancelled);
  }
}

TEST_P(EngineFaultTest, AToolsResultIsStoredOnceTheStoreTakesIt) {
  for (ErrorCode code : {ErrorCode::kUnavailable, ErrorCode::kRateLimited, ErrorCode::kInternal}) {
    world.outside.tool_runs.clear();
    world.outside.answers.push_back({.calls = {function_call("c1", "opaque", "{}")}});
    refuse_kind(journal::kEffectFinished, code, 1);
    SessionKey key = world.create("go");
    EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
    EXPECT_EQ(last_context().back(), "result counted");
    EXPECT_EQ(world.outside.tool_runs.size(), 1u);
  }
}

TEST_P(EngineFaultTest, AResultWhoseCommitIsTooLargeFailsTheTurnInsteadOfHanging) {
  world.outside.answers.push_back({.chunks = {"an answer"}});
  refuse_kind(journal::kModelCallFinished, ErrorCode::kTooLarge);
  SessionKey key = world.create("go");
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kFailed);
}

TEST_P(EngineFaultTest, ADueRetryThatCannotBeStoredIsMadeLater) {
  models::ModelFailure busy{.code = "server_overloaded", .message = "busy", .retryable = true};
  world.outside.answers.push_back({.failure = busy});
  SessionKey key = world.create("go");
  world.until([&] { return world.engine->counters().model_calls_abandoned == 1; });
  refuse_kind(journal::kModelCallStarted, ErrorCode::kUnavailable, 1);
  world.env.advance(60'000);
  world.engine->check_timers();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(world.outside.requests.size(), 2u);
}

TEST_P(EngineFaultTest, RecoveryThatMeetsAFullDiskGoesOnWhenThereIsRoom) {
  world.outside.answers.push_back({.chunks = {"half"}, .hang = true});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.requests.size() == 1; });
  world.stop();
  refuse_kind(journal::kModelCallAbandoned, ErrorCode::kUnavailable);
  world.start();
  EXPECT_EQ(world.view(key)->status, SessionStatus::kInProgress) << "readable all the same";
  world.faults.refuse = nullptr;
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
}

// ---- every commit in turn
// -----------------------------------------------------------------------------

/// A client that wants one thing done, whatever happens on the way: a turn with a call of its own,
/// an opaque and a keyed tool, and a second turn.
class EveryCommitTest : public EngineFaultTest {
 protected:
  EveryCommitTest() {
    world.outside.respond = [](const models::ModelRequest& request) -> Answer {
      const models::ContextItem& last = request.context.back();
      auto* said = std::get_if<models::UserMessage>(&last);
      if (!said) return {.chunks = {"done"}};
      if (said->parts.front().text != "go") return {.chunks = {"more ", "done"}};
      return {.chunks = {"Let me see."},
              .calls = {function_call("c1", "look", "{}"), function_call("c2", "opaque", "{}"),
                        function_call("c3", "keyed", "{}")}};
    };
  }

  /// Starts the server again if the fault has struck.
  void revive() {
    if (!crashed_) return;
    world.stop();
    world.faults.refuse = nullptr;
    crashed_ = false;
    world.start();
  }
  template <class Try>
  void insist(Try attempt) {
    for (int tries = 0; tries < 50; ++tries) {
      if (attempt()) return;
      revive();
      world.pause(2);
    }
    ADD_FAILURE() << "the client was refused again and again";
  }
  void wait(SessionStatus status) {
    for (int round = 0; round < 5'000 && world.view(key)->status != status; ++round) {
      world.pause(1);
      revive();
    }
    ASSERT_EQ(world.view(key)->status, status);
  }

  void do_the_work() {
    CreateSession command;
    command.project = world.project;
    command.principal = "tester";
    command.id = derive_session_id(world.project, "key");
    command.agent = agent_with({"look"});
    command.input.push_back({{"go"}});
    key = {world.project, *command.id};
    insist([&] {
      auto created = world.run(world.engine->create_session(command));
      return created || created.error().reason == "exists";
    });
    wait(SessionStatus::kRequiresAction);
    insist([&] {
      auto calls = world.view(key)->required_actions;
      return calls.empty() || world.answer(key, calls.front(), "seen");
    });
    wait(SessionStatus::kIdle);
    insist([&] { return world.send(key, "more").has_value(); });
    wait(SessionStatus::kIdle);
  }
  void expect_all_done() {
    EXPECT_THAT(texts(key), ElementsAre("go", "Let me see.", "done", "more", "more done"));
    for (const TurnView& turn : world.run(world.engine->turns(key, {}))->data)
      EXPECT_EQ(turn.status, TurnStatus::kCompleted);
    EXPECT_THAT(world.run(world.journal->effects(key)).value(), IsEmpty());
    EXPECT_EQ(world.outside.tool_runs.size(), 2u) << "one key for each call";
  }

  SessionKey key;
  bool crashed_ = false;
};

INSTANTIATE_TEST_SUITE_P(Stores, EveryCommitTest, all_variants(), variant_name);

constexpr int kCommits = 8;  // at most; the last ones find nothing to strike

TEST_P(EveryCommitTest, ACrashBeforeAnyOfThemLosesAndRepeatsNothing) {
  for (int survivors = 0; survivors <= kCommits; ++survivors) {
    SCOPED_TRACE("crash after " + std::to_string(survivors) + " commits");
    auto left = std::make_shared<int>(survivors);
    world.faults.refuse = [this, left](const journal::Append&) -> std::optional<Error> {
      if ((*left)-- > 0) return std::nullopt;
      crashed_ = true;
      return Error{ErrorCode::kUnavailable, "the process is gone", {}, {}};
    };
    world.outside.tool_runs.clear();
    do_the_work();
    expect_all_done();
    int repeated = 0;
    for (const auto& [effect, runs] : world.outside.tool_runs) repeated += runs - 1;
    EXPECT_LE(repeated, 1) << "the keyed tool's at most";
    ASSERT_TRUE(world.run(world.engine->delete_session(key)));
    world.project.value += "x";  // the id of a deleted session is not given again
  }
}

TEST_P(EveryCommitTest, ARefusalOfAnyOfThemIsOvercome) {
  for (ErrorCode code : {ErrorCode::kUnavailable, ErrorCode::kRateLimited, ErrorCode::kInternal}) {
    for (int passed = 0; passed <= kCommits; ++passed) {
      SCOPED_TRACE(std::string(to_string(code)) + " after " + std::to_string(passed));
      auto left = std::make_shared<int>(passed);
      world.faults.refuse = [left, code](const journal::Append&) -> std::optional<Error> {
        if ((*left)-- != 0) return std::nullopt;
        return Error{code, "planted", {}, {}};
      };
      world.outside.tool_runs.clear();
      std::size_t asked = world.outside.requests.size();
      do_the_work();
      expect_all_done();
      for (const auto& [effect, runs] : world.outside.tool_runs) EXPECT_EQ(runs, 1);
      EXPECT_EQ(world.outside.requests.size() - asked, 3u) << "no model call is made twice";
      world.project.value += "x";
    }
  }
}

// ---- retries
// --------------------------------------------------------------------------------------

TEST_P(EngineFaultTest, AfterTheLastAttemptTheTurnFailsInOneCommitAndInOrder) {
  models::ModelFailure busy{.code = "server_overloaded", .message = "busy", .retryable = true};
  for (int i = 0; i < 3; ++i) world.outside.answers.push_back({.failure = busy});
  SessionKey key = world.create("go");
  for (std::uint64_t attempt = 1; attempt <= 3; ++attempt) {
    world.until([&] { return world.engine->counters().model_calls_abandoned == attempt; });
    world.env.advance(60'000);
    world.engine->check_timers();
  }
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).error->code, "server_overloaded");
  EXPECT_EQ(world.outside.requests.size(), 3u);
  auto stream = world.run(world.engine->subscribe(key, StreamFrom{Place{0, 0}, true}));
  auto ids = durable_ids(**stream);
  ASSERT_GE(ids.size(), 3u);
  auto type = [&](std::size_t from_end) { return std::stoi(ids[ids.size() - from_end]); };
  EXPECT_EQ(type(3), static_cast<int>(EventType::kError));
  EXPECT_EQ(type(2), static_cast<int>(EventType::kTurnFailed));
  EXPECT_EQ(type(1), static_cast<int>(EventType::kSessionIdle));
  EXPECT_FALSE(*world.run(world.journal->next_timer(journal::all_shards()))) << "no timer is left";
}

TEST_P(EngineFaultTest, AMessageDuringThePauseJoinsTheRetryAndACancelEndsIt) {
  models::ModelFailure busy{.code = "server_overloaded", .message = "busy", .retryable = true};
  world.outside.answers.push_back({.failure = busy});
  SessionKey key = world.create("go");
  world.until([&] { return world.engine->counters().model_calls_abandoned == 1; });
  ASSERT_TRUE(world.send(key, "more"));
  world.pause(5);
  EXPECT_EQ(world.outside.requests.size(), 1u) << "the pause holds";
  world.env.advance(60'000);
  world.engine->check_timers();
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre("user go", "user more"));

  world.outside.answers.push_back({.failure = busy});
  ASSERT_TRUE(world.send(key, "third"));
  world.until([&] { return world.engine->counters().model_calls_abandoned == 2; });
  ASSERT_TRUE(*world.run(world.journal->next_timer(journal::all_shards())));
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  EXPECT_FALSE(*world.run(world.journal->next_timer(journal::all_shards())));
  EXPECT_EQ(world.view(key)->status, SessionStatus::kIdle);
}

TEST_P(EngineFaultTest, APauseThatAProviderAsksForIsBounded) {
  models::ModelFailure busy{.code = "rate_limit_exceeded", .message = "busy", .retryable = true};
  busy.retry_after_ms = std::numeric_limits<std::int64_t>::max();
  world.outside.answers.push_back({.failure = busy});
  world.create("go");
  world.until([&] { return world.engine->counters().model_calls_abandoned == 1; });
  auto next = *world.run(world.journal->next_timer(journal::all_shards()));
  ASSERT_TRUE(next);
  EXPECT_GT(*next, world.env.now());
  EXPECT_LE(*next, world.env.now() + 24 * 3600 * 1000);
}

// ---- damaged logs
// -----------------------------------------------------------------------------------

/// Bodies that a damaged page, another program or an older one may leave.
const char* const kDamage[] = {
    "",
    "{",
    "[]",
    "{\"v\":2}",
    R"({"v":1,"turn":1,"call":2,"items":[1,2],"texts":7,"agent":{"functions":[3]}})",
    R"({"v":1,"items":[{"type":"message","text":"x","chunks":["a",-1]}],"agent":{"functions":[0]}})",
    R"({"v":1,"items":[{"type":"message","text":"x","chunks":[9,9,9]}],"agent":{"functions":[[]]}})",
};

TEST_P(EngineFaultTest, ADamagedSessionAnswersAsFailedAndTheOthersLive) {
  SessionKey good = world.create("good");
  world.wait_for(good, SessionStatus::kIdle);
  models::ModelFailure busy{.code = "server_overloaded", .message = "busy", .retryable = true};
  world.outside.answers.push_back({.failure = busy});
  SessionKey bad = world.create("bad");
  world.until([&] { return world.engine->counters().model_calls_abandoned == 1; });
  for (const char* damage : kDamage) {
    SCOPED_TRACE(damage);
    world.stop();
    world.faults.damage = [&, damage](const SessionKey& key, journal::Entry& entry) {
      if (key == bad) entry.body = damage;
    };
    world.start();
    auto view = world.run(world.engine->session(bad));
    ASSERT_TRUE(view);
    EXPECT_EQ((*view)->status, SessionStatus::kFailed);
    auto refused = world.send(bad, "hello?");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
    auto listed = world.run(world.engine->sessions(world.project, {}, {}));
    ASSERT_TRUE(listed);
    EXPECT_EQ(listed->data.size(), 2u);
    auto stream = world.run(world.engine->subscribe(bad, StreamFrom{Place{0, 0}, true}));
    if (stream) EXPECT_FALSE(world.run((*stream)->next()));
    (void)world.run(world.engine->items(bad, std::nullopt, {}, true));
    (void)world.run(world.engine->turns(bad, {}));
    EXPECT_EQ(world.view(good)->status, SessionStatus::kIdle);
  }
  // With the right bytes back it goes on where it was: nothing was written over what was not read.
  world.stop();
  world.faults.damage = nullptr;
  world.start();
  EXPECT_EQ(world.view(bad)->status, SessionStatus::kInProgress);
  world.env.advance(60'000);
  world.engine->check_timers();
  EXPECT_EQ(world.wait_for(bad, SessionStatus::kIdle), SessionStatus::kIdle);
}

TEST_P(EngineFaultTest, TimersOfDamagedSessionsDoNotHoldUpTheOthers) {
  models::ModelFailure busy{.code = "server_overloaded", .message = "busy", .retryable = true};
  for (int i = 0; i < 71; ++i) world.outside.answers.push_back({.failure = busy});
  // Some were refused by the provider, later ones found its breaker open: all of them wait.
  auto until_waiting = [&](std::size_t count) {
    for (int round = 0; round < 10'000; ++round) {
      auto due = world.run(
          world.journal->due_timers(journal::all_shards(), world.env.now() + 86'400'000, 200));
      if (due && due->size() == count) return;
      world.pause(1);
    }
    FAIL() << "not all sessions wait for their timer";
  };
  std::vector<SessionKey> bad;
  for (int i = 0; i < 70; ++i) bad.push_back(world.create("bad"));
  until_waiting(70);
  world.env.advance(5);
  SessionKey good = world.create("good");
  until_waiting(71);
  world.stop();
  world.outside.answers.clear();
  world.faults.damage = [&](const SessionKey& key, journal::Entry& entry) {
    if (key != good) entry.body = "[0]";
  };
  world.start();
  world.env.advance(60'000);
  world.engine->check_timers();
  EXPECT_EQ(world.wait_for(good, SessionStatus::kIdle), SessionStatus::kIdle);
}

TEST_P(EngineFaultTest, ADamagedSessionCanBeDeleted) {
  SessionKey bad = world.create("bad");
  world.wait_for(bad, SessionStatus::kIdle);
  world.stop();
  world.faults.damage = [](const SessionKey&, journal::Entry& entry) { entry.body = "{"; };
  world.start();
  EXPECT_TRUE(world.run(world.engine->delete_session(bad)));
  EXPECT_EQ(world.run(world.engine->session(bad)).error().code, ErrorCode::kNotFound);
}

TEST_P(EngineFaultTest, ASnapshotThatCannotBeReadIsNotNeeded) {
  SessionKey key = world.create("turn 0");
  for (int turn = 1; turn <= 30; ++turn) {
    world.wait_for(key, SessionStatus::kIdle);
    ASSERT_TRUE(world.send(key, "turn " + std::to_string(turn)));
  }
  world.wait_for(key, SessionStatus::kIdle);
  auto before = world.view(key);
  auto history = world.history(key);
  for (bool newer : {true, false}) {
    world.stop();
    world.faults.damage_snapshot = [newer](journal::Snapshot& snapshot) {
      if (newer)
        snapshot.format += 1;
      else
        snapshot.body = R"({"queued":["x"],"turn":{"pending":[1],"effects":[2]}})";
    };
    world.start();
    auto after = world.run(world.engine->session(key));
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_EQ((*after)->status, SessionStatus::kIdle);
    EXPECT_EQ((*after)->usage, before->usage);
    EXPECT_EQ((*after)->agent->model, before->agent->model);
    EXPECT_EQ(world.history(key), history);
  }
}

TEST_P(EngineFaultTest, ASessionThatCrashedRecoveryThreeTimesIsPutAside) {
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  SessionKey poison = world.create("poison");
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  SessionKey neighbour = world.create("neighbour");
  world.until([&] { return world.outside.requests.size() == 2; });
  auto stream = world.run(world.engine->subscribe(poison, {}));
  world.stop();
  for (int crash = 0; crash < 3; ++crash) {
    world.start(/*recover=*/false);
    // What a start that crashes leaves: with more than one suspect, only the one at hand is
    // counted.
    ASSERT_TRUE(world.run(world.journal->begin_recovery({poison})));
    world.stop();
  }
  world.start(/*recover=*/false);
  ASSERT_TRUE(world.run(world.journal->begin_recovery({neighbour})));
  world.stop();
  world.start();
  EXPECT_EQ(world.view(poison)->status, SessionStatus::kFailed);
  EXPECT_EQ(last_turn(poison).status, TurnStatus::kFailed);
  EXPECT_THAT(world.run(world.journal->effects(poison)).value(), IsEmpty());
  EXPECT_EQ(world.wait_for(neighbour, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(world.run(world.journal->begin_recovery({neighbour}))->front(), 1)
      << "a recovery that went well is forgotten";
}

class EngineMomentTest : public EngineFaultTest {};
INSTANTIATE_TEST_SUITE_P(Stores, EngineMomentTest, variants_in_process(), variant_name);

TEST_P(EngineMomentTest, OnlyTheSessionThatWasTakenUpIsBlamedForACrash) {
  std::vector<SessionKey> keys;
  for (int i = 0; i < 5; ++i) {
    world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
    keys.push_back(world.create("go"));
  }
  world.until([&] { return world.outside.requests.size() == 5; });
  world.stop();
  std::ranges::sort(keys);
  // Three starts that die while sessions are read; a start that died put no count back.
  for (int crash = 0; crash < 3; ++crash) {
    world.start(/*recover=*/false);
    world.faults.hold_loads = true;
    std::size_t loads = world.faults.loads;
    auto recovery = world.begin(World::ended(world.engine->recover(journal::all_shards())));
    world.until([&] { return world.faults.loads > loads; });  // counted, and being read
    world.faults.lose_end_of_recovery = true;
    auto drained = world.begin(World::ended(world.engine->drain()));
    world.faults.hold_loads = false;
    world.finish(drained);
    world.stop();
    world.faults.lose_end_of_recovery = false;
  }
  world.start();
  EXPECT_EQ(world.view(keys.front())->status, SessionStatus::kFailed) << "always at hand";
  for (const SessionKey& key : keys)
    if (key != keys.front())
      EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(world.engine->counters().quarantined, 1u);
}

TEST_P(EngineMomentTest, ASessionIsPutAsideAlsoWhereTheDiskIsFullAtFirst) {
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  const SessionKey key = world.create("go");
  world.until([&] { return world.outside.requests.size() == 1; });
  world.stop();
  for (int crash = 0; crash < 3; ++crash) {
    world.start(/*recover=*/false);
    world.faults.hold_loads = true;
    const std::size_t loads = world.faults.loads;
    auto recovery = world.begin(World::ended(world.engine->recover(journal::all_shards())));
    world.until([&] { return world.faults.loads > loads; });
    world.faults.lose_end_of_recovery = true;
    auto drained = world.begin(World::ended(world.engine->drain()));
    world.faults.hold_loads = false;
    world.finish(drained);
    world.stop();
    world.faults.lose_end_of_recovery = false;
  }
  int refused = 0;
  world.faults.refuse = [&refused](const journal::Append&) -> std::optional<Error> {
    if (++refused > 3) return std::nullopt;
    return Error{ErrorCode::kUnavailable, "The disk is full.", {}, "disk_full"};
  };
  world.start();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kFailed), SessionStatus::kFailed);
  EXPECT_EQ(refused, 4);
  world.faults.refuse = nullptr;
}

TEST_P(EngineFaultTest, StoppingDuringRecoveryIsNoCrash) {
  world.outside.answers.push_back({.chunks = {"x"}, .hang = true});
  SessionKey key = world.create("go");
  world.until([&] { return world.outside.requests.size() == 1; });
  world.stop();
  for (int start = 0; start < 5; ++start) {
    world.start(/*recover=*/false);
    world.faults.hold_loads = true;
    auto recovery = world.begin(World::ended(world.engine->recover(journal::all_shards())));
    world.pause(10);
    auto drained = world.begin(World::ended(world.engine->drain()));
    world.pause(2);
    world.faults.hold_loads = false;
    world.finish(drained);
    EXPECT_TRUE(recovery->ended()) << "nothing of the engine runs after it has drained";
    world.stop();
  }
  world.start();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
}

}  // namespace
}  // namespace perdure::engine
