#include "engine/tool_names.h"

#include <gtest/gtest.h>

namespace perdure::engine {
namespace {

AgentConfig agent_with(std::vector<std::string> servers, std::vector<std::string> functions = {}) {
  AgentConfig agent;
  for (std::string& label : servers) agent.mcp_servers.push_back({.label = std::move(label)});
  for (std::string& name : functions) agent.functions.push_back({.name = std::move(name)});
  return agent;
}

ToolLists lists(std::string server, std::vector<std::string> names) {
  ToolLists lists;
  for (std::string& name : names)
    lists[server].push_back({.name = std::move(name), .parameters = "{}"});
  return lists;
}

bool is_valid(const std::string& name) {
  return !name.empty() && name.size() <= 64 &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
             std::string::npos;
}

TEST(ToolNames, BeginWithTheLabel) {
  OfferedTools offered = name_tools(agent_with({"desk", "unlisted"}), lists("desk", {"book"}));
  ASSERT_EQ(offered.size(), 1u);
  EXPECT_EQ(offered[0].name, "desk__book");
  EXPECT_EQ(offered[0].server, "desk");
  EXPECT_EQ(offered[0].tool, "book");
  EXPECT_EQ(find_tool(offered, "desk__book"), &offered[0]);
  EXPECT_EQ(find_tool(offered, "book"), nullptr);
}

TEST(ToolNames, AreValidAndUniqueWhateverTheServerCallsThem) {
  ToolLists strange = lists("desk", {"a.b", "a_b", "a b", "日本", std::string(100, 'x'),
                                     std::string(100, 'x') + "y", "book"});
  AgentConfig agent = agent_with({"desk"}, {"desk__book"});
  OfferedTools offered = name_tools(agent, strange);
  ASSERT_EQ(offered.size(), 7u);
  for (const OfferedTool& tool : offered) {
    EXPECT_TRUE(is_valid(tool.name)) << tool.name;
    EXPECT_EQ(find_tool(offered, tool.name), &tool) << tool.name;
    EXPECT_NE(tool.name, "desk__book") << "the client's function keeps its name";
  }
  OfferedTools again = name_tools(agent, strange);
  for (std::size_t i = 0; i < offered.size(); ++i) EXPECT_EQ(offered[i].name, again[i].name);
}

}  // namespace
}  // namespace perdure::engine
