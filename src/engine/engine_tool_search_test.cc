// Deferred functions: what the model is sent of them, before and after its search, and that what
// it found stays found. See tool_search.h, engine_test_support.h.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class ToolSearchTest : public EngineTest {
 protected:
  static AgentConfig searching() {
    AgentConfig agent = agent_with({"look", "send_email", "refund_order", "ping"});
    agent.tool_search = 4;
    for (std::size_t i = 1; i < 4; ++i) agent.functions[i].deferred = true;
    agent.functions[1].description = "Sends a message to a customer.\nWith a second line.";
    agent.functions[2].description = "Gives money back.";
    return agent;
  }
  static Answer search(std::string call_id, std::string arguments) {
    return {.calls = {function_call(std::move(call_id), "tool_search", std::move(arguments))}};
  }
  std::vector<std::string> tools_sent() {
    std::vector<std::string> names;
    for (const auto& tool : world.outside.requests.back().tools) names.push_back(tool.name);
    return names;
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, ToolSearchTest, all_variants(), variant_name);

TEST_P(ToolSearchTest, TheModelSeesOnlyTheSearchUntilItHasFound) {
  world.outside.answers.push_back(search("c1", R"({"query":"send a message"})"));
  world.outside.answers.push_back(search("c2", R"({"query":"money"})"));
  world.outside.answers.push_back({.chunks = {"Done."}});
  SessionKey key = world.create("hi", searching());
  world.wait_for(key, SessionStatus::kIdle);
  ASSERT_EQ(world.outside.requests.size(), 3u);
  auto names = [&](std::size_t call) {
    std::vector<std::string> all;
    for (const auto& tool : world.outside.requests[call].tools) all.push_back(tool.name);
    return all;
  };
  EXPECT_THAT(names(0), ElementsAre("look", "tool_search"));
  EXPECT_THAT(names(1), ElementsAre("look", "tool_search", "send_email"));
  EXPECT_THAT(names(2), ElementsAre("look", "tool_search", "send_email", "refund_order"));
  EXPECT_EQ(world.outside.requests[1].tools[2].parameters, R"({"type":"object"})");
  EXPECT_THAT(last_context(),
              ElementsAre("user hi", "call c1",
                          "result Found, and can be called from now on:\n- send_email: Sends a "
                          "message to a customer. …",
                          "call c2", HasSubstr("- refund_order: Gives money back.")));
}

TEST_P(ToolSearchTest, NothingOfASearchIsShown) {
  world.outside.answers.push_back(
      {.chunks = {"Let me see."},
       .calls = {function_call("c1", "tool_search", R"({"query":"email"})")}});
  world.outside.answers.push_back({.chunks = {"Done."}});
  SessionKey key = world.create("hi", searching());
  world.wait_for(key, SessionStatus::kIdle);
  auto items = world.items(key, /*incomplete=*/true);
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[1].phase, Phase::kCommentary);
  EXPECT_EQ(items[2].phase, Phase::kFinalAnswer);
  auto stream = world.run(world.engine->subscribe(key, StreamFrom{Place{0, 0}, true}));
  ASSERT_TRUE(stream);
  while (true) {
    auto batch = world.run((*stream)->next());
    ASSERT_TRUE(batch);
    if (!*batch) break;
    for (const auto& event : **batch)
      if (event->item) EXPECT_NE(event->item->name, "tool_search");
  }
}

TEST_P(ToolSearchTest, WhatWasFoundIsCalledLikeAnyFunctionAndStaysThroughARestart) {
  world.outside.answers.push_back(search("c1", R"({"query":"email"})"));
  world.outside.answers.push_back({.calls = {function_call("c2", "send_email", "{}")}});
  SessionKey key = world.create("hi", searching());
  ASSERT_EQ(world.wait_for(key, SessionStatus::kRequiresAction), SessionStatus::kRequiresAction);
  world.restart();
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.front(), "sent"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(tools_sent(), ElementsAre("look", "tool_search", "send_email"));
  ASSERT_TRUE(world.send(key, "again"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(tools_sent(), ElementsAre("look", "tool_search", "send_email"));
}

TEST_P(ToolSearchTest, WhatWasFoundIsNotLoadedTwiceAndOutlivesSnapshots) {
  world.outside.answers.push_back(search("c1", R"({"query":"email"})"));
  SessionKey key = world.create("hi", searching());
  world.wait_for(key, SessionStatus::kIdle);
  world.outside.answers.push_back(search("c2", R"({"query":"email or refund_order"})"));
  for (std::uint64_t turn = 0; turn < kSnapshotEntries / 4; ++turn) {
    ASSERT_TRUE(world.send(key, "and on"));
    world.wait_for(key, SessionStatus::kIdle);
  }
  world.restart();
  ASSERT_TRUE(world.send(key, "last"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(tools_sent(), ElementsAre("look", "tool_search", "send_email", "refund_order"));
}

TEST_P(ToolSearchTest, WhatWasFoundSurvivesACompaction) {
  models::ModelEntry small{.name = "small", .provider = "fake"};
  small.context_window = 2048;
  world.models = {small};
  world.restart();
  int summaries = 0;
  world.outside.respond = [&](const models::ModelRequest& request) -> Answer {
    if (request.instructions.starts_with("You shorten") && ++summaries > 0)
      return {.chunks = {"It was long."}, .usage_known = false};
    const auto* user = std::get_if<models::UserMessage>(&request.context.back());
    if (user && user->parts.front().text == "search")
      return {.calls = {function_call("c1", "tool_search", R"({"query":"email"})")},
              .usage_known = false};
    return {.chunks = {"Well."}, .usage_known = false};
  };
  AgentConfig agent = searching();
  agent.model = "small";
  SessionKey key = world.create("search", agent);
  world.wait_for(key, SessionStatus::kIdle);
  for (int turn = 0; turn < 4; ++turn) {
    ASSERT_TRUE(world.send(key, std::string(2000, 'x')));
    world.wait_for(key, SessionStatus::kIdle);
  }
  EXPECT_GT(summaries, 0);
  world.restart();
  ASSERT_TRUE(world.send(key, "and now?"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context().front(), HasSubstr("It was long."));
  EXPECT_THAT(tools_sent(), ElementsAre("look", "tool_search", "send_email"));
}

TEST_P(ToolSearchTest, ASearchThatMakesNoSenseIsToldToTheModel) {
  for (std::string arguments : {R"({"query":"  "})", R"({"words":"email"})", "[]", "{not json"}) {
    world.outside.answers.push_back(search("c1", arguments));
    world.outside.answers.push_back({.chunks = {"Well."}});
    SessionKey key = world.create("hi", searching());
    EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
    EXPECT_THAT(last_context().at(2), StartsWith("result Nothing was searched for")) << arguments;
  }
  world.outside.answers.push_back(search("c1", R"({"query":"zebra"})"));
  SessionKey key = world.create("hi", searching());
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context().at(2), HasSubstr("names: send_email, refund_order, ping."));
}

TEST_P(ToolSearchTest, ADeferredFunctionThatWasNotSearchedForIsACallAllTheSame) {
  world.outside.answers.push_back({.calls = {function_call("c1", "ping", "{}")}});
  SessionKey key = world.create("hi", searching());
  EXPECT_EQ(world.wait_for(key, SessionStatus::kRequiresAction), SessionStatus::kRequiresAction);
}

TEST_P(ToolSearchTest, WithNothingDeferredThereIsNoSearch) {
  AgentConfig agent = agent_with({"look"});
  agent.tool_search = 0;
  world.outside.answers.push_back(search("c1", R"({"query":"email"})"));
  SessionKey key = world.create("hi", agent);
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(tools_sent(), ElementsAre("look"));
  EXPECT_THAT(last_context().back(), HasSubstr("There is no tool named 'tool_search'."));
}

TEST_P(ToolSearchTest, TheContextRecordNamesWhatWasLoaded) {
  world.outside.answers.push_back(search("c1", R"({"query":"email"})"));
  SessionKey key = world.create("hi", searching());
  world.wait_for(key, SessionStatus::kIdle);
  auto turns = world.run(world.engine->turns(key, Page{{}, 1, true}));
  ASSERT_TRUE(turns);
  auto calls = world.run(world.engine->context(key, turns->data.at(0).id, Page{{}, 10, true}));
  ASSERT_TRUE(calls);
  EXPECT_THAT(calls->data.at(0).tools, ElementsAre("look", "tool_search"));
  EXPECT_THAT(calls->data.at(1).tools, ElementsAre("look", "tool_search", "send_email"));
}

}  // namespace
}  // namespace perdure::engine
