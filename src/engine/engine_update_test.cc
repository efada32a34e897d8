// Updates of a session that is there: what counts when, and that nothing of one gets lost.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/session_state.h"

namespace perdure::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Texts = std::map<std::string, std::string>;

class EngineUpdateTest : public EngineTest {
 protected:
  Result<Updated> update(const SessionKey& key, SessionChanges changes) {
    return world.run(world.engine->update_session(key, {.changes = std::move(changes)}));
  }
  static SessionChanges tools(std::vector<std::string> functions,
                              std::vector<McpServerConfig> servers = {}) {
    SessionChanges changes;
    changes.tools = agent_with(std::move(functions));
    changes.tools->mcp_servers = std::move(servers);
    return changes;
  }
  static McpServerConfig server(std::string label, std::string url = "https://one.example/") {
    return {.label = std::move(label), .url = std::move(url)};
  }
  void ask_for(std::string function) {
    world.outside.answers.push_back(
        {.chunks = {}, .calls = {function_call("c1", std::move(function), "{}")}});
  }
  std::vector<std::string> offered() {
    std::vector<std::string> names;
    for (const models::FunctionTool& tool : world.outside.requests.back().tools)
      names.push_back(tool.name);
    return names;
  }
  const models::ModelRequest& last() { return world.outside.requests.back(); }
  void turn(const SessionKey& key, std::string text) {
    ASSERT_TRUE(world.send(key, std::move(text)));
    ASSERT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  }
  std::string failure_of_last_turn(const SessionKey& key) {
    auto turns = world.run(world.engine->turns(key, {}));
    return turns->data.front().error ? turns->data.front().error->code : "none";
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, EngineUpdateTest, all_variants(), variant_name);

TEST_P(EngineUpdateTest, AnIdleSessionIsShownAndWorksAsItWasChanged) {
  SessionKey key = world.create();
  world.wait_for(key, SessionStatus::kIdle);
  SessionChanges changes = tools({"new"});
  changes.model = "other-model";
  changes.reasoning_effort = "high";
  changes.service_tier = "flex";
  changes.metadata = Texts{{"a", "b"}};
  auto updated = update(key, changes);
  ASSERT_TRUE(updated);
  world.restart();
  for (const auto& shown : {updated->session, world.view(key)}) {
    EXPECT_EQ(shown->agent->model, "other-model");
    EXPECT_EQ(shown->agent->reasoning_effort, "high");
    EXPECT_EQ(shown->agent->service_tier, "flex");
    EXPECT_EQ(shown->agent->functions.at(0).name, "new");
    EXPECT_THAT(shown->metadata, ElementsAre(testing::Pair("a", "b")));
  }
  turn(key, "again");
  EXPECT_EQ(last().model, "other-model");
  EXPECT_EQ(last().reasoning_effort, "high");
  EXPECT_EQ(last().service_tier, "flex");
  EXPECT_THAT(offered(), ElementsAre("new"));
}

TEST_P(EngineUpdateTest, ARunningTurnGetsTheNewToolsAndKeepsItsModel) {
  ask_for("old");
  AgentConfig agent = agent_with({"old"});
  agent.reasoning_effort = "low";
  SessionKey key = world.create("go", agent);
  world.wait_for(key, SessionStatus::kRequiresAction);
  SessionChanges changes = tools({"new"});
  changes.model = "other-model";
  changes.reasoning_effort = std::optional<std::string>();
  ASSERT_TRUE(update(key, changes));
  EXPECT_EQ(world.view(key)->agent->model, "other-model") << "shown at once";
  world.restart();
  auto view = world.view(key);
  EXPECT_EQ(view->agent->model, "other-model");
  EXPECT_EQ(view->agent->functions.at(0).name, "new");
  ASSERT_EQ(view->required_actions.size(), 1u) << "what was asked for is still owed";
  ASSERT_TRUE(world.answer(key, view->required_actions.at(0), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(offered(), ElementsAre("new"));
  EXPECT_EQ(last().model, "fake-model") << "a turn ends with the model that it began with";
  EXPECT_EQ(last().reasoning_effort, "low");
  turn(key, "again");
  EXPECT_EQ(last().model, "other-model");
  EXPECT_EQ(last().reasoning_effort, "");
}

TEST_P(EngineUpdateTest, ATurnThatFollowsAtOnceIsTheNextTurn) {
  world.outside.answers.push_back({.chunks = {"..."}, .hang = true});
  SessionKey key = world.create();
  world.until([&] { return world.outside.in_flight == 1; });
  SessionChanges changes;
  changes.model = "other-model";
  ASSERT_TRUE(update(key, changes));
  ASSERT_TRUE(world.send(key, "next"));
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(last().model, "other-model");
}

TEST_P(EngineUpdateTest, TheCallsOfARunningTurnAreChargedToTheModelTheyWereMadeOf) {
  ask_for("old");
  AgentConfig agent = agent_with({"old"});
  agent.model = "priced-model";
  SessionKey key = world.create("go", agent);
  world.wait_for(key, SessionStatus::kRequiresAction);
  SessionChanges changes;
  changes.model = "fake-model";
  ASSERT_TRUE(update(key, changes));
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(world.view(key)->spent, 120'000) << "two calls";
  turn(key, "again");
  EXPECT_EQ(world.view(key)->spent, 120'000) << "the new one costs nothing";
}

TEST_P(EngineUpdateTest, ALifetimeOfThePromptCacheIsOfTheTurnThatBeginsWithIt) {
  CreateSession command;
  command.project = world.project;
  command.principal = "tester";
  command.agent = agent_with({"old"});
  command.cache_ttl = "30m";
  command.input.push_back({{"hello"}});
  ask_for("old");
  auto created = world.run(world.engine->create_session(std::move(command)));
  ASSERT_TRUE(created);
  SessionKey key = created->session->key;
  world.wait_for(key, SessionStatus::kRequiresAction);
  EXPECT_EQ(last().cache_ttl, "30m");
  SessionChanges changes;
  changes.cache_ttl = "12h";
  ASSERT_TRUE(update(key, changes));
  world.restart();
  EXPECT_EQ(world.view(key)->cache_ttl, "12h");
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(last().cache_ttl, "30m") << "a turn ends with what it began with";
  turn(key, "again");
  EXPECT_EQ(last().cache_ttl, "12h");
  changes.cache_ttl = std::optional<std::string>();
  ASSERT_TRUE(update(key, changes));
  turn(key, "and again");
  EXPECT_EQ(last().cache_ttl, "");
  auto turns = world.run(world.engine->turns(key, Page{{}, 20, true}));
  ASSERT_EQ(turns->data.size(), 3u);
  EXPECT_EQ(turns->data[0].cache_ttl, "30m");
  EXPECT_EQ(turns->data[1].cache_ttl, "12h");
  EXPECT_FALSE(turns->data[2].cache_ttl);
}

TEST_P(EngineUpdateTest, UpdatesAtOnceAllCountAndTheLastWinsWhatTheyShare) {
  SessionKey key = world.create();
  world.wait_for(key, SessionStatus::kIdle);
  SessionChanges one, two;
  one.model = "one";
  one.service_tier = "flex";
  two.model = "two";
  two.metadata = Texts{{"by", "two"}};
  auto first = world.begin(world.engine->update_session(key, {.changes = one}));
  auto second = world.begin(world.engine->update_session(key, {.changes = two}));
  ASSERT_TRUE(world.finish(first));
  ASSERT_TRUE(world.finish(second));
  auto view = world.view(key);
  EXPECT_EQ(view->agent->model, "two");
  EXPECT_EQ(view->agent->service_tier, "flex");
  EXPECT_THAT(view->metadata, ElementsAre(testing::Pair("by", "two")));
}

TEST_P(EngineUpdateTest, ARefusedUpdateLeavesNothingBehind) {
  SessionKey key = world.create();
  world.wait_for(key, SessionStatus::kIdle);
  auto before = world.view(key);
  SessionChanges changes;
  changes.model = "bad-model";
  changes.metadata = Texts{{"a", "b"}};
  std::string seen;
  UpdateSession command{.changes = changes};
  command.check = [&](const SessionView& after) -> Result<void> {
    seen = after.agent->model + after.metadata.at("a");
    return fail(ErrorCode::kInvalidArgument, "no", "agent.model");
  };
  auto refused = world.run(world.engine->update_session(key, std::move(command)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "agent.model");
  EXPECT_EQ(seen, "bad-modelb");
  EXPECT_EQ(world.view(key)->head, before->head);
  EXPECT_EQ(world.view(key)->agent->model, "fake-model");
  EXPECT_THAT(world.view(key)->metadata, IsEmpty());
}

TEST_P(EngineUpdateTest, AnEmptyUpdateWritesNothing) {
  SessionKey key = world.create();
  world.wait_for(key, SessionStatus::kIdle);
  std::uint64_t head = world.view(key)->head;
  auto updated = update(key, {});
  ASSERT_TRUE(updated);
  EXPECT_EQ(updated->session->head, head);
}

TEST_P(EngineUpdateTest, TheKeptAnswerIsStoredWithTheUpdate) {
  SessionKey key = world.create();
  world.wait_for(key, SessionStatus::kIdle);
  SessionChanges changes;
  changes.model = "other-model";
  journal::IdempotencyRecord record;
  record.scope = {world.project, "tester", "POST x", "k"};
  record.request_hash = "h";
  record.status = 200;
  record.session = key.session.value;
  record.expires = world.env.now() + 1000;
  UpdateSession command{.changes = changes};
  command.idempotency = [&](const SessionView& after) -> Idempotency {
    record.body = after.agent->model;
    return record;
  };
  ASSERT_TRUE(world.run(world.engine->update_session(key, std::move(command))));
  auto kept = world.run(world.journal->find_idempotency(record.scope, world.env.now()));
  ASSERT_TRUE(kept && *kept);
  EXPECT_EQ((*kept)->body, "other-model");
}

TEST_P(EngineUpdateTest, SessionsThatAreNotThereAreNotFound) {
  SessionChanges changes;
  changes.model = "other-model";
  SessionKey unknown{world.project, {"sess_" + std::string(26, 'a')}};
  EXPECT_EQ(update(unknown, changes).error().code, ErrorCode::kNotFound);
  SessionKey key = world.create();
  world.wait_for(key, SessionStatus::kIdle);
  ASSERT_TRUE(world.run(world.engine->delete_session(key)));
  EXPECT_EQ(update(key, changes).error().code, ErrorCode::kNotFound);
}

TEST_P(EngineUpdateTest, AStreamSaysNothingOfAnUpdate) {
  SessionKey key = world.create();
  world.wait_for(key, SessionStatus::kIdle);
  auto before = world.history(key);
  SessionChanges changes;
  changes.metadata = Texts{{"a", "b"}};
  ASSERT_TRUE(update(key, changes));
  turn(key, "again");
  auto after = world.history(key);
  ASSERT_GT(after.size(), before.size());
  EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin()));
  EXPECT_TRUE(after[before.size()].starts_with(
      std::to_string(static_cast<int>(EventType::kTurnCreated)) + " "));
}

// ---- money ------------------------------------------------------------------------------------

TEST_P(EngineUpdateTest, ARaisedLimitLetsTheSessionGoOnAndALoweredOneStopsIt) {
  CreateSession command;
  command.project = world.project;
  command.principal = "tester";
  command.agent.model = "priced-model";
  command.spend_limit = 500'000;  // less than an answer of full length
  command.input.push_back({{"hello"}});
  auto created = world.run(world.engine->create_session(std::move(command)));
  ASSERT_TRUE(created);
  SessionKey key = created->session->key;
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(failure_of_last_turn(key), "session_budget_exceeded");

  SessionChanges raised;
  raised.spend_limit = 5'000'000;
  ASSERT_TRUE(update(key, raised));
  EXPECT_EQ(world.view(key)->spend_limit, 5'000'000);
  turn(key, "again");
  EXPECT_EQ(failure_of_last_turn(key), "none");
  EXPECT_EQ(world.view(key)->spent, 60'000);

  SessionChanges lowered;
  lowered.spend_limit = 10'000;
  ASSERT_TRUE(update(key, lowered));
  world.restart();
  turn(key, "once more");
  EXPECT_EQ(failure_of_last_turn(key), "session_budget_exceeded");
  EXPECT_EQ(world.view(key)->spent, 60'000) << "what was spent stays spent";

  SessionChanges removed;
  removed.spend_limit = std::optional<models::Money>();
  ASSERT_TRUE(update(key, removed));
  EXPECT_FALSE(world.view(key)->spend_limit);
  turn(key, "for free");
  EXPECT_EQ(failure_of_last_turn(key), "none");
  EXPECT_EQ(world.view(key)->spent, 120'000);
}

TEST_P(EngineUpdateTest, ALimitLoweredInARunningTurnStopsItsNextCall) {
  ask_for("old");
  AgentConfig agent = agent_with({"old"});
  agent.model = "priced-model";
  SessionKey key = world.create("go", agent);
  world.wait_for(key, SessionStatus::kRequiresAction);
  SessionChanges changes;
  changes.spend_limit = 10'000;
  ASSERT_TRUE(update(key, changes));
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(failure_of_last_turn(key), "session_budget_exceeded");
  EXPECT_EQ(world.outside.requests.size(), 1u);
}

// ---- servers of tools -------------------------------------------------------------------------

TEST_P(EngineUpdateTest, ServersThatAreAddedInARunningTurnAreAskedBeforeItsNextCall) {
  world.outside.listed["desk"] = {{"book", "", "{}", tools::RepeatClass::kOpaque}};
  ask_for("old");
  SessionKey key = world.create("go", agent_with({"old"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  ASSERT_TRUE(update(key, tools({}, {server("desk")})));
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(offered(), ElementsAre("desk__book"));
  ASSERT_TRUE(update(key, tools({"mine"})));
  turn(key, "again");
  EXPECT_THAT(offered(), ElementsAre("mine"));
}

TEST_P(EngineUpdateTest, AListOfAServerThatIsAnotherNowIsNotTakenForItsOwn) {
  world.outside.listed["desk"] = {{"book", "", "{}", tools::RepeatClass::kOpaque}};
  AgentConfig agent = agent_with({});
  agent.mcp_servers = {server("desk")};
  SessionKey key = world.create("go", agent);
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(offered(), ElementsAre("desk__book"));
  ASSERT_TRUE(update(key, tools({}, {server("desk")})));
  turn(key, "the same server");
  EXPECT_EQ(world.outside.lists["desk"], 1) << "its list is still good";
  world.outside.listed.erase("desk");
  ASSERT_TRUE(update(key, tools({}, {server("desk", "https://two.example/")})));
  turn(key, "another server, which is away");
  EXPECT_EQ(world.outside.lists["desk"], 2);
  EXPECT_THAT(offered(), IsEmpty());
  world.restart();
  turn(key, "the same from the log");
  EXPECT_THAT(offered(), IsEmpty());
}

TEST_P(EngineUpdateTest, ATurnThatWaitsForAListThatNobodyWantsGoesOn) {
  world.outside.lists_hang = true;
  AgentConfig agent = agent_with({});
  agent.mcp_servers = {server("desk")};
  SessionKey key = world.create("go", agent);
  world.until([&] { return world.outside.lists["desk"] == 1; });
  ASSERT_TRUE(update(key, tools({"mine"})));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(offered(), ElementsAre("mine"));
  EXPECT_EQ(failure_of_last_turn(key), "none");
}

// ---- what is read again -----------------------------------------------------------------------

TEST_P(EngineUpdateTest, TheContextRecordShowsTheToolsThatEachCallWasOffered) {
  ask_for("old");
  SessionKey key = world.create("go", agent_with({"old"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  ASSERT_TRUE(update(key, tools({"new"})));
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  auto turns = world.run(world.engine->turns(key, {}));
  auto record = world.run(world.engine->context(key, turns->data.front().id, Page{{}, 20, true}));
  ASSERT_TRUE(record);
  ASSERT_EQ(record->data.size(), 2u);
  EXPECT_THAT(record->data[0].tools, ElementsAre("old"));
  EXPECT_THAT(record->data[1].tools, ElementsAre("new"));
}

TEST(SessionUpdateTest, ASnapshotKeepsWhatCountsLater) {
  SessionState state;
  state.key = {{"default"}, {"sess_" + std::string(26, 'a')}};
  state.head = 7;
  auto next = std::make_shared<AgentConfig>();
  next->model = "other-model";
  state.next_agent = next;
  state.cache_ttl = "12h";
  state.turn = TurnState{.seq = 3, .cache_ttl = "30m"};
  auto read = from_snapshot(state.key, {7, kSnapshotFormat, to_snapshot(state)});
  ASSERT_TRUE(read);
  ASSERT_TRUE(read->next_agent);
  EXPECT_EQ(read->next_agent->model, "other-model");
  EXPECT_EQ(read->view()->agent->model, "other-model");
  EXPECT_EQ(read->view()->cache_ttl, "12h");
  EXPECT_EQ(read->turn_view().cache_ttl, "30m");
}

}  // namespace
}  // namespace perdure::engine
