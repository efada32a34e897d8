// Updates of tools beside what a session has under way: calls that run or wait, results that are
// late, functions that were found. See session_update.h, engine_test_support.h.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"

namespace perdure::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class EngineUpdateToolsTest : public EngineTest {
 protected:
  void update(const SessionKey& key, AgentConfig tools) {
    SessionChanges changes;
    changes.tools = std::move(tools);
    auto updated = world.run(world.engine->update_session(key, {.changes = std::move(changes)}));
    ASSERT_TRUE(updated) << updated.error().message;
  }
  static AgentConfig background() {
    AgentConfig agent = agent_with({"render", "look"});
    agent.functions[0].async = true;
    return agent;
  }
  /// All but `look` must be searched for.
  static AgentConfig searching(std::vector<std::string> functions) {
    AgentConfig agent = agent_with(std::move(functions));
    agent.tool_search = agent.functions.size();
    for (FunctionConfig& function : agent.functions) function.deferred = function.name != "look";
    return agent;
  }
  void answer_with_call(std::string name, std::string arguments = "{}") {
    world.outside.answers.push_back(
        {.chunks = {}, .calls = {function_call("c1", std::move(name), std::move(arguments))}});
  }
  void search(std::string words) {
    answer_with_call("tool_search", R"({"query":")" + words + "\"}");
  }
  std::vector<std::string> offered() {
    std::vector<std::string> names;
    for (const models::FunctionTool& tool : world.outside.requests.back().tools)
      names.push_back(tool.name);
    return names;
  }
  void turn(const SessionKey& key, std::string text) {
    ASSERT_TRUE(world.send(key, std::move(text)));
    ASSERT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  }
  std::vector<std::string> actions(const SessionKey& key) {
    std::vector<std::string> names;
    for (const PendingCall& call : world.view(key)->required_actions) names.push_back(call.name);
    return names;
  }
  /// One call at a time, whoever makes it.
  void one_at_a_time() {
    world.stop();
    world.pools = {{.name = "narrow", .provider = "fake", .max_in_flight = 1}};
    world.models = {{.name = "fake-model", .pools = {"narrow"}}};
    world.start(false);
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, EngineUpdateToolsTest, all_variants(), variant_name);

// ---- calls that run or wait -------------------------------------------------------------------

TEST_P(EngineUpdateToolsTest, ACallThatRunsMeansTheToolsThatItWasOffered) {
  world.outside.hold = true;
  answer_with_call("old");
  SessionKey key = world.create("go", agent_with({"old"}));
  world.until([&] { return world.outside.in_flight == 1; });
  update(key, agent_with({"new"}));
  world.outside.hold = false;
  ASSERT_EQ(world.wait_for(key, SessionStatus::kRequiresAction), SessionStatus::kRequiresAction);
  EXPECT_THAT(actions(key), ElementsAre("old"));
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context().back(), StartsWith("result seen"));
  EXPECT_THAT(offered(), ElementsAre("new"));
}

TEST_P(EngineUpdateToolsTest, AFunctionThatCameWhileTheCallRanIsNotTheClientsYet) {
  world.outside.hold = true;
  answer_with_call("new");
  SessionKey key = world.create("go", agent_with({"old"}));
  world.until([&] { return world.outside.in_flight == 1; });
  update(key, agent_with({"new"}));
  world.outside.hold = false;
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context().back(), HasSubstr("'new' was not there when you called. It is now."));
  EXPECT_THAT(offered(), ElementsAre("new"));
}

TEST_P(EngineUpdateToolsTest, ACallThatWaitsForAPoolIsOfferedTheToolsItWasMadeWith) {
  one_at_a_time();
  world.outside.listed["desk"] = {{"book", "", "{}", tools::RepeatClass::kOpaque}};
  AgentConfig agent = searching({"look", "send_email", "refund"});
  agent.mcp_servers = {{.label = "desk", .url = "https://one.example/"}};
  search("email");
  SessionKey key = world.create("go", agent);
  world.wait_for(key, SessionStatus::kIdle);
  world.outside.hold = true;
  SessionKey other = world.create("takes the room");
  world.until([&] { return world.outside.in_flight == 1; });
  ASSERT_TRUE(world.send(key, "again"));
  world.until([&] { return world.view(key)->status == SessionStatus::kInProgress; });
  const std::size_t before = world.outside.requests.size();
  update(key, agent_with({"new"}));
  update(key, agent_with({"newer"}));
  answer_with_call("desk__book");
  world.outside.hold = false;
  world.wait_for(other, SessionStatus::kIdle);
  world.wait_for(key, SessionStatus::kIdle);
  std::vector<std::string> names;
  for (const auto& tool : world.outside.requests.at(before).tools) names.push_back(tool.name);
  EXPECT_THAT(names, ElementsAre("look", "tool_search", "desk__book", "send_email"));
  EXPECT_THAT(last_context().back(), HasSubstr("no MCP server 'desk' any more"));
  EXPECT_THAT(offered(), ElementsAre("newer"));
}

TEST_P(EngineUpdateToolsTest, ACallMeantForOneServerDoesNotGoToAnother) {
  world.outside.listed["desk"] = {{"book", "", "{}", tools::RepeatClass::kOpaque}};
  const auto desk_at = [](std::string url) {
    AgentConfig agent = agent_with({});
    agent.mcp_servers = {{.label = "desk", .url = std::move(url)}};
    return agent;
  };
  SessionKey key = world.create("hello", desk_at("https://one.example/"));
  world.wait_for(key, SessionStatus::kIdle);
  world.outside.hold = true;
  answer_with_call("desk__book");
  ASSERT_TRUE(world.send(key, "go"));
  world.until([&] { return world.outside.in_flight == 1; });
  update(key, desk_at("https://two.example/"));
  world.outside.hold = false;
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context().back(), HasSubstr("'desk' is another one by now"));
  EXPECT_THAT(world.outside.server_calls, IsEmpty());
}

TEST_P(EngineUpdateToolsTest, ASearchThatFindsNothingLeftIsToldSo) {
  world.outside.hold = true;
  search("email");
  SessionKey key = world.create("go", searching({"look", "send_email"}));
  world.until([&] { return world.outside.in_flight == 1; });
  update(key, agent_with({"look"}));
  world.outside.hold = false;
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context().back(), HasSubstr("no functions to find any more"));
  EXPECT_THAT(offered(), ElementsAre("look"));
}

// ---- functions that run on --------------------------------------------------------------------

TEST_P(EngineUpdateToolsTest, ALateResultOfAFunctionThatWasTakenAwayIsStillTakenAndRead) {
  answer_with_call("render");
  SessionKey key = world.create("go", background());
  world.wait_for(key, SessionStatus::kIdle);
  update(key, agent_with({"look"}));
  world.restart();
  ASSERT_THAT(actions(key), ElementsAre("render")) << "its result is still owed";
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "a picture"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(actions(key), IsEmpty());
  EXPECT_THAT(last_context().back(), HasSubstr("of render, which ran in the background:]\na pict"));
  EXPECT_THAT(offered(), ElementsAre("look"));
}

TEST_P(EngineUpdateToolsTest, AnOpenCallOfAFunctionThatIsNoLongerAsyncStaysWhatItWas) {
  answer_with_call("render");
  SessionKey key = world.create("go", background());
  world.wait_for(key, SessionStatus::kIdle);
  update(key, agent_with({"render"}));
  answer_with_call("render");
  ASSERT_TRUE(world.send(key, "again"));
  ASSERT_EQ(world.wait_for(key, SessionStatus::kRequiresAction), SessionStatus::kRequiresAction);
  auto open = world.view(key)->required_actions;
  ASSERT_EQ(open.size(), 2u) << "one that the turn waits for, and one of before";
  EXPECT_NE(open[0].call_id, open[1].call_id);
  const PendingCall& early = open[0].call_id == "c1" ? open[0] : open[1];
  const PendingCall& late = open[0].call_id == "c1" ? open[1] : open[0];
  ASSERT_TRUE(world.answer(key, early, "old"));
  EXPECT_EQ(world.view(key)->status, SessionStatus::kRequiresAction);
  ASSERT_TRUE(world.answer(key, late, "new"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(actions(key), IsEmpty());
}

TEST_P(EngineUpdateToolsTest, ATurnThatALateResultBeginsHasTheTimeAndTheSettingsOfThen) {
  AgentConfig agent = background();
  agent.time_awareness = true;
  answer_with_call("render");
  SessionKey key = world.create("go", agent);
  world.wait_for(key, SessionStatus::kIdle);
  SessionChanges changes;
  changes.cache_ttl = "12h";
  changes.model = "priced-model";
  ASSERT_TRUE(world.run(world.engine->update_session(key, {.changes = changes})));
  world.env.advance(1000);
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "a picture"));
  world.wait_for(key, SessionStatus::kIdle);
  auto context = last_context();
  ASSERT_GE(context.size(), 2u);
  EXPECT_THAT(context[context.size() - 2], StartsWith("user [The time is "));
  EXPECT_NE(context[context.size() - 2], context[0]);
  EXPECT_THAT(context.back(), HasSubstr("a picture"));
  EXPECT_EQ(world.outside.requests.back().cache_ttl, "12h");
  EXPECT_EQ(world.outside.requests.back().model, "priced-model");
}

// ---- functions that were found ----------------------------------------------------------------

TEST_P(EngineUpdateToolsTest, WhatWasFoundStaysFoundAsTheUpdateDescribesIt) {
  search("email or refund");
  SessionKey key = world.create("go", searching({"look", "send_email", "refund", "ping"}));
  world.wait_for(key, SessionStatus::kIdle);
  ASSERT_THAT(offered(), ElementsAre("look", "tool_search", "refund", "send_email"));
  AgentConfig tools = searching({"look", "ping", "send_email", "sing"});
  tools.functions[2].description = "Anew.";
  update(key, tools);
  world.restart();
  turn(key, "again");
  EXPECT_THAT(offered(), ElementsAre("look", "tool_search", "send_email"));
  EXPECT_EQ(world.outside.requests.back().tools.back().description, "Anew.");
  search("sing");
  turn(key, "more");
  EXPECT_THAT(offered(), ElementsAre("look", "tool_search", "send_email", "sing"));
}

TEST_P(EngineUpdateToolsTest, WhatWasTakenAwayAndComesBackMustBeFoundAnew) {
  search("email");
  SessionKey key = world.create("go", searching({"look", "send_email"}));
  world.wait_for(key, SessionStatus::kIdle);
  ASSERT_THAT(offered(), ElementsAre("look", "tool_search", "send_email"));
  update(key, agent_with({"look", "send_email"}));
  turn(key, "for all to see");
  EXPECT_THAT(offered(), ElementsAre("look", "send_email"));
  update(key, searching({"look", "send_email"}));
  turn(key, "hidden");
  EXPECT_THAT(offered(), ElementsAre("look", "tool_search"));
  world.restart();
  search("email");
  turn(key, "found");
  EXPECT_THAT(offered(), ElementsAre("look", "tool_search", "send_email"));
}

TEST_P(EngineUpdateToolsTest, TheRecordShowsWhatWasFoundBeforeAndAfterAnUpdate) {
  search("email");
  answer_with_call("look");
  SessionKey key = world.create("go", searching({"look", "send_email"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  update(key, searching({"ping"}));
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  auto turns = world.run(world.engine->turns(key, {}));
  auto record = world.run(world.engine->context(key, turns->data.front().id, Page{{}, 20, true}));
  ASSERT_TRUE(record);
  ASSERT_EQ(record->data.size(), 3u);
  EXPECT_THAT(record->data[0].tools, ElementsAre("look", "tool_search"));
  EXPECT_THAT(record->data[1].tools, ElementsAre("look", "tool_search", "send_email"));
  EXPECT_THAT(record->data[2].tools, ElementsAre("tool_search"));
  for (std::size_t call = 0; call < 3; ++call) {
    std::vector<std::string> sent;
    for (const auto& tool : world.outside.requests[call].tools) sent.push_back(tool.name);
    EXPECT_EQ(sent, record->data[call].tools);
  }
}

}  // namespace
}  // namespace perdure::engine
