// The body of a session's update: what is read, and what is refused by which name.
#include "facades/agents_api/wire_update.h"

#include <gtest/gtest.h>

namespace perdure::facades::agents_api {
namespace {

using engine::SessionChanges;

SessionChanges read(std::string_view body) {
  auto changes = read_update_session(body);
  EXPECT_TRUE(changes) << changes.error().message;
  return changes.value_or(SessionChanges());
}

Error refused(std::string_view body) {
  auto changes = read_update_session(body);
  EXPECT_FALSE(changes) << body;
  return changes ? Error{} : changes.error();
}

TEST(WireUpdateTest, WhatIsNotGivenStays) {
  EXPECT_TRUE(read("{}").empty());
  EXPECT_TRUE(read(R"({"agent":{}})").empty());
  EXPECT_TRUE(read(R"({"agent":{"reasoning":{}},"review":"none"})").empty());
  EXPECT_TRUE(read(R"({"prompt_cache_options":{}})").empty());
}

TEST(WireUpdateTest, EveryMemberIsRead) {
  SessionChanges changes = read(
      R"({"agent":{"model":"m2","reasoning":{"effort":"high"},"service_tier":"flex","tools":[)"
      R"({"type":"function","name":"f","description":"d","parameters":{"type":"object"},)"
      R"("async":true,"defer_loading":true},{"type":"tool_search"},)"
      R"({"type":"mcp","server_label":"s","transport":{"type":"http","server_url":"http://a/"}}]},)"
      R"("metadata":{"a":"b"},"spend_control":{"limit":7},"prompt_cache_options":{"ttl":"12h"}})");
  EXPECT_EQ(changes.model, "m2");
  EXPECT_EQ(changes.reasoning_effort.value(), "high");
  EXPECT_EQ(changes.service_tier, "flex");
  ASSERT_TRUE(changes.tools);
  EXPECT_EQ(changes.tools->functions.at(0).name, "f");
  EXPECT_TRUE(changes.tools->functions.at(0).async);
  EXPECT_TRUE(changes.tools->functions.at(0).deferred);
  EXPECT_EQ(changes.tools->tool_search, 1u);
  EXPECT_EQ(changes.tools->mcp_servers.at(0).label, "s");
  EXPECT_EQ(changes.metadata->at("a"), "b");
  EXPECT_EQ(changes.cache_ttl.value(), "12h");
  EXPECT_EQ(changes.spend_limit.value(), 7 * models::kNanoPerCent);
}

TEST(WireUpdateTest, NullClearsWhereTheApiHasIt) {
  SessionChanges changes =
      read(R"({"agent":{"reasoning":{"effort":null},"service_tier":null,"tools":null},)"
           R"("metadata":null,"spend_control":null})");
  ASSERT_TRUE(changes.reasoning_effort);
  EXPECT_FALSE(*changes.reasoning_effort);
  EXPECT_EQ(changes.service_tier, "auto");
  ASSERT_TRUE(changes.tools);
  EXPECT_TRUE(changes.tools->functions.empty());
  ASSERT_TRUE(changes.metadata);
  EXPECT_TRUE(changes.metadata->empty());
  ASSERT_TRUE(changes.spend_limit);
  EXPECT_FALSE(*changes.spend_limit);
  EXPECT_FALSE(read(R"({"spend_control":{"limit":null}})").spend_limit.value());
  changes = read(R"({"prompt_cache_options":null})");
  ASSERT_TRUE(changes.cache_ttl);
  EXPECT_FALSE(*changes.cache_ttl);
  for (std::string_view body : {R"({"agent":null})", R"({"agent":{"model":null}})",
                                R"({"agent":{"reasoning":null}})", R"({"review":null})"})
    EXPECT_EQ(refused(body).code, ErrorCode::kInvalidArgument) << body;
}

TEST(WireUpdateTest, WhatASessionKeepsForGoodIsRefusedByName) {
  EXPECT_EQ(refused(R"({"agent":{"instructions":"x"}})").param, "agent.instructions");
  EXPECT_NE(refused(R"({"agent":{"instructions":"x"}})").message.find("cannot be changed"),
            std::string::npos);
  for (std::string_view member : {"text", "multi_agent", "compaction", "experimental"})
    EXPECT_EQ(refused("{\"agent\":{\"" + std::string(member) + "\":null}}").param,
              "agent." + std::string(member));
  EXPECT_EQ(refused(R"({"agent":{"reasoning":{"summary":"auto"}}})").param,
            "agent.reasoning.summary");
  for (std::string_view member : {"environment", "vault_ids", "agent_id"})
    EXPECT_EQ(refused("{\"" + std::string(member) + "\":null}").param, member);
}

TEST(WireUpdateTest, WrongAndUnknownMembersAreRefusedWithTheirPath) {
  EXPECT_EQ(refused(R"({"input":"x"})").param, "input");
  EXPECT_EQ(refused(R"({"agent":{"name":"x"}})").param, "agent.name");
  EXPECT_EQ(refused(R"({"agent":{"model":""}})").param, "agent.model");
  EXPECT_EQ(refused(R"({"agent":{"tools":[{"type":"web_search"}]}})").param, "agent.tools[0].type");
  EXPECT_EQ(refused(R"({"spend_control":{"limit":0}})").param, "spend_control.limit");
  EXPECT_EQ(refused(R"({"review":"auto_review"})").code, ErrorCode::kUnimplemented);
  EXPECT_EQ(refused(R"({"metadata":{"a":1}})").param, "metadata.a");
  EXPECT_EQ(refused(R"({"prompt_cache_options":{"ttl":"1h"}})").param, "prompt_cache_options.ttl");
}

}  // namespace
}  // namespace perdure::facades::agents_api
