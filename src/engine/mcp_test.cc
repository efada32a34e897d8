// Tools of servers outside, as a session's turn uses them.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class McpTest : public EngineTest {
 protected:
  McpTest() {
    world.outside.listed["desk"] = {
        {"book", "Books.", R"({"type":"object"})", tools::RepeatClass::kOpaque},
        {"put", "Puts.", R"({"type":"object"})", tools::RepeatClass::kRepeatable},
        {"look", "Looks.", R"({"type":"object"})", tools::RepeatClass::kPure}};
  }
  static AgentConfig agent(std::vector<std::string> labels = {"desk"}) {
    AgentConfig agent = agent_with({"mine"});
    for (std::string& label : labels)
      agent.mcp_servers.push_back({.label = label, .url = "https://" + label + ".example/"});
    return agent;
  }
  void ask_for(std::vector<std::string> names) {
    Answer answer{.chunks = {}};
    for (std::size_t i = 0; i < names.size(); ++i)
      answer.calls.push_back(function_call("c" + std::to_string(i + 1), names[i], "{}"));
    world.outside.answers.push_back(std::move(answer));
  }
  std::vector<std::string> offered() {
    std::vector<std::string> names;
    for (const models::FunctionTool& tool : world.outside.requests.back().tools)
      names.push_back(tool.name);
    return names;
  }
  /// "server/tool status output|error" of the session's MCP calls.
  std::vector<std::string> calls(const SessionKey& key) {
    constexpr const char* kStatus[] = {"in_progress", "completed", "failed", "incomplete"};
    std::vector<std::string> lines;
    for (const ItemView& item : world.items(key, /*incomplete=*/true))
      if (item.type == ItemType::kMcpCall)
        lines.push_back(item.server_label + '/' + item.name + ' ' +
                        kStatus[static_cast<int>(item.status)] + ' ' + item.output.value_or("") +
                        item.error.value_or(""));
    return lines;
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, McpTest, all_variants(), variant_name);

TEST_P(McpTest, TheModelIsOfferedTheServersToolsAndGetsTheirResults) {
  ask_for({"desk__book"});
  SessionKey key = world.create("go", agent());
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_THAT(offered(), ElementsAre("mine", "desk__book", "desk__put", "desk__look"));
  EXPECT_THAT(world.outside.server_calls, ElementsAre("desk/book {}"));
  EXPECT_THAT(last_context(), ElementsAre("user go", "call c1", "result counted"));
  EXPECT_THAT(calls(key), ElementsAre("desk/book completed \"counted\""));
  EXPECT_EQ(world.outside.lists["desk"], 1);
}

TEST_P(McpTest, OnlyAllowedToolsAreOffered) {
  AgentConfig limited = agent();
  limited.mcp_servers[0].allowed_tools = {"look", "absent"};
  ask_for({"desk__book"});
  SessionKey key = world.create("go", limited);
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(offered(), ElementsAre("mine", "desk__look"));
  EXPECT_TRUE(world.outside.server_calls.empty()) << "nor called where the model makes one up";
  EXPECT_THAT(last_context().back(), HasSubstr("There is no tool named"));
}

TEST_P(McpTest, AListIsKeptAndAskedForAgainWhenItIsOld) {
  SessionKey key = world.create("one", agent());
  world.wait_for(key, SessionStatus::kIdle);
  world.restart();
  ASSERT_TRUE(world.send(key, "two"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(world.outside.lists["desk"], 1) << "the log has it";
  EXPECT_EQ(offered().size(), 4u);
  world.env.advance(kToolListMs + 1);
  world.outside.listed["desk"].resize(1);
  ASSERT_TRUE(world.send(key, "three"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(world.outside.lists["desk"], 2);
  EXPECT_THAT(offered(), ElementsAre("mine", "desk__book"));
}

TEST_P(McpTest, AListThatChangedIsAskedForBeforeTheNextModelCall) {
  ask_for({"desk__look"});
  world.outside.server_result =
      tools::ToolResult{.success = true, .output = "seen", .tools_changed = true};
  SessionKey key = world.create("go", agent());
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(world.outside.lists["desk"], 2);
}

TEST_P(McpTest, AServerThatIsAwayCostsItsToolsAndNotTheTurn) {
  SessionKey key = world.create("one", agent({"gone", "desk"}));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(offered(), ElementsAre("mine", "desk__book", "desk__put", "desk__look"));
  EXPECT_EQ(world.outside.lists["gone"], 1);
  world.outside.listed["gone"] = {{"back", "", "{}", tools::RepeatClass::kPure}};
  ASSERT_TRUE(world.send(key, "two"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(offered().size(), 5u) << "the next turn tries again";
  EXPECT_EQ(world.outside.lists["desk"], 1);
  world.outside.listed.erase("desk");
  world.env.advance(kToolListMs + 1);
  ASSERT_TRUE(world.send(key, "three"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(offered().size(), 5u) << "an older list is better than none";
}

TEST_P(McpTest, ARequiredServerThatIsAwayFailsTheTurn) {
  AgentConfig strict = agent({"gone"});
  strict.mcp_servers[0].required = true;
  SessionKey key = world.create("one", strict);
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_TRUE(world.outside.requests.empty());
  auto turns = world.run(world.engine->turns(key, {}));
  ASSERT_TRUE(turns);
  ASSERT_TRUE(turns->data.at(0).error);
  EXPECT_THAT(turns->data[0].error->message, HasSubstr("'gone'"));
  EXPECT_THAT(turns->data[0].error->message, HasSubstr("The server is away."));
}

TEST_P(McpTest, AnOpaqueCallIsNeverMadeTwiceAndARepeatableOneIsWithItsKey) {
  world.outside.tools_hang = true;
  ask_for({"desk__book", "desk__put"});
  SessionKey key = world.create("go", agent());
  world.until([&] { return world.outside.tool_runs.size() == 2; });
  world.restart();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  std::ranges::sort(world.outside.server_calls);
  EXPECT_THAT(world.outside.server_calls,
              ElementsAre("desk/book {}", "desk/put {}", "desk/put {}"));
  EXPECT_EQ(world.outside.tool_runs.size(), 2u) << "the repeated call has the key of the first";
  EXPECT_THAT(last_context(),
              ElementsAre("user go", "call c1", "call c2",
                          HasSubstr("The outcome of this call is unknown"), "result counted"));
  EXPECT_THAT(calls(key), ElementsAre(HasSubstr("desk/book incomplete The outcome"),
                                      "desk/put completed \"counted\""));
}

TEST_P(McpTest, AListThatWasBeingAskedForIsAskedForAgainAfterACrash) {
  world.outside.lists_hang = true;
  SessionKey key = world.create("go", agent());
  world.until([&] { return world.outside.lists["desk"] == 1; });
  world.restart();
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(world.outside.lists["desk"], 2);
  EXPECT_EQ(offered().size(), 4u);
}

TEST_P(McpTest, ATurnCanBeCancelledWhileAListIsAskedFor) {
  world.outside.lists_hang = true;
  SessionKey key = world.create("go", agent());
  world.until([&] { return world.outside.lists["desk"] == 1; });
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  EXPECT_EQ(world.view(key)->status, SessionStatus::kIdle);
  world.outside.lists_hang = false;
  ASSERT_TRUE(world.send(key, "again"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(offered().size(), 4u);
}

TEST_P(McpTest, ACallOfUnknownOutcomeIsToldAsUnknownUnlessItMayBeRepeated) {
  world.outside.server_result =
      tools::ToolResult{.output = "The connection broke.", .unknown = true};
  ask_for({"desk__book", "desk__put"});
  SessionKey key = world.create("go", agent());
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(calls(key),
              ElementsAre("desk/book incomplete The outcome of this call is unknown. The "
                          "connection broke. It may or may not have taken effect. Check before "
                          "you call it again.",
                          "desk/put failed The connection broke."));
}

TEST_P(McpTest, AServerThatThrowsIsAnUnknownOutcome) {
  world.outside.tools_throw = true;
  ask_for({"desk__book"});
  SessionKey key = world.create("go", agent());
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(calls(key), ElementsAre(HasSubstr("incomplete")));
}

TEST_P(McpTest, WhatIsRefusedIsShownAsACallThatFailed) {
  world.policy.denied = "desk/put";
  Answer answer{.chunks = {}};
  answer.calls = {function_call("c1", "desk__book", "[]"), function_call("c2", "desk__put", "{}"),
                  function_call("c3", "desk__look", R"({"a":1,"a":2})")};
  world.outside.answers.push_back(std::move(answer));
  SessionKey key = world.create("go", agent());
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_TRUE(world.outside.server_calls.empty());
  EXPECT_THAT(calls(key),
              ElementsAre(HasSubstr("desk/book failed"), HasSubstr("it is forbidden here"),
                          HasSubstr("desk/look failed")));
}

TEST_P(McpTest, PolicyMayForbidAServer) {
  world.policy.denied = "desk";
  SessionKey key = world.create("go", agent());
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(world.outside.lists["desk"], 0);
  EXPECT_THAT(offered(), ElementsAre("mine"));
}

TEST_P(McpTest, TheEventsOfACallAreItsBeginningAndItsEndAndComeAgainTheSame) {
  ask_for({"desk__book"});
  SessionKey key = world.create("go", agent());
  world.wait_for(key, SessionStatus::kIdle);
  auto stream = world.run(world.engine->subscribe(key, {Place{0, 0}, true}));
  ASSERT_TRUE(stream);
  std::vector<std::string> seen;
  while (auto batch = world.run((*stream)->next())) {
    if (!*batch) break;
    for (const auto& event : **batch)
      if (event->item && event->item->type != ItemType::kUserMessage &&
          event->item->type != ItemType::kAssistantMessage) {
        EXPECT_EQ(event->item->type, ItemType::kMcpCall);
        bool added = event->type == EventType::kItemAdded;
        EXPECT_EQ(event->item->status, added ? ItemStatus::kInProgress : ItemStatus::kCompleted);
        seen.push_back((added ? "added " : "done ") + event->item->output.value_or("-"));
      }
  }
  EXPECT_THAT(seen, ElementsAre("added -", "done \"counted\""));
  std::vector<std::string> before = world.history(key);
  world.restart();
  EXPECT_EQ(world.history(key), before);
}

TEST_P(McpTest, ASnapshotKeepsWhatIsKnownOfTheLists) {
  SessionKey key = world.create("one", agent());
  world.wait_for(key, SessionStatus::kIdle);
  for (std::uint64_t i = 0; i < kSnapshotEntries; ++i) {
    ASSERT_TRUE(world.send(key, "more"));
    world.wait_for(key, SessionStatus::kIdle);
  }
  world.outside.tools_hang = true;
  ask_for({"desk__book"});
  ASSERT_TRUE(world.send(key, "go"));
  world.until([&] { return world.outside.tool_runs.size() == 1; });
  world.restart();
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(world.outside.lists["desk"], 1);
  EXPECT_EQ(world.outside.server_calls.size(), 1u);
  EXPECT_THAT(last_context().back(), HasSubstr("outcome of this call is unknown"));
}

}  // namespace
}  // namespace perdure::engine
