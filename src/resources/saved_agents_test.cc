// Saved agents over a store in memory: what is there after a write, and after two at once.
#include "resources/saved_agents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <set>

#include "journal/memory/memory_journal.h"

namespace perdure::resources {
namespace {

using testing::ElementsAre;

const ProjectId kMine{"mine"};
const ProjectId kOther{"other"};

class SavedAgentsTest : public testing::Test {
 protected:
  // Results hold receipts, which only stores make: so no futures, which would make empty ones.
  template <class T>
  using Later = std::shared_ptr<std::optional<T>>;
  template <class T>
  static Task<> keep(Task<T> task, Later<T> result) {
    result->emplace(co_await std::move(task));
  }
  template <class T>
  Later<T> start(Task<T> task) {
    auto result = std::make_shared<std::optional<T>>();
    boost::asio::co_spawn(loop_, keep(std::move(task), result), boost::asio::detached);
    return result;
  }
  void run() {
    loop_.restart();
    loop_.run();
  }
  template <class T>
  T await(Task<T> task) {
    auto result = start(std::move(task));
    run();
    return result->value();
  }

  SavedAgent make(std::string model = "m") {
    auto made = await(agents_.create(kMine, definition(std::move(model))));
    EXPECT_TRUE(made) << made.error().message;
    return made->agent;
  }
  static AgentDefinition definition(const std::string& model) {
    return {.name = "n", .metadata = {{"k", "v"}}, .settings = {{"model", '"' + model + '"'}}};
  }
  /// An update that sets one of the settings and keeps the others.
  static SavedAgents::Change set(std::string name, std::string text) {
    return [name, text](const SavedAgent& newest) -> Result<AgentDefinition> {
      AgentDefinition next = newest.definition;
      next.settings[name] = text;
      return next;
    };
  }
  static std::vector<std::string> ids(const AgentList& list) {
    std::vector<std::string> out;
    for (const SavedAgent& agent : list.data) out.push_back(agent.id);
    return out;
  }
  static std::vector<std::uint64_t> numbers(const AgentList& list) {
    std::vector<std::uint64_t> out;
    for (const SavedAgent& agent : list.data) out.push_back(agent.version);
    return out;
  }
  template <class T>
  static ErrorCode code_of(const Result<T>& result) {
    return result ? ErrorCode::kInternal : result.error().code;
  }

  FakeEnv env_;
  boost::asio::io_context loop_;
  journal::MemoryJournal store_{env_};
  SavedAgents agents_{env_, store_};
};

TEST_F(SavedAgentsTest, WhatWasSavedIsFoundByteForByte) {
  AgentDefinition odd{
      .name = "quote \" and \xc3\xa9",
      .metadata = {{"a\"b", "c\nd"}, {"", ""}},
      .settings = {{"model", R"("\u006d")"}, {"tools", R"([ {"b": 1.10, "a":{}} ])"}}};
  auto made = await(agents_.create(kMine, odd));
  ASSERT_TRUE(made);
  for (std::optional<std::uint64_t> version : {std::optional<std::uint64_t>(), {1}}) {
    auto found = await(agents_.find(kMine, made->agent.id, version));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->id, made->agent.id);
    EXPECT_EQ(found->version, 1u);
    EXPECT_EQ(found->created, env_.now());
    EXPECT_EQ(found->updated, env_.now());
    EXPECT_EQ(found->definition.name, odd.name);
    EXPECT_EQ(found->definition.metadata, odd.metadata);
    EXPECT_EQ(found->definition.settings, odd.settings);
  }
  auto nameless = await(agents_.create(kMine, {}));
  EXPECT_FALSE(await(agents_.find(kMine, nameless->agent.id))->definition.name);
}

TEST_F(SavedAgentsTest, AnUpdateMakesAVersionAndLeavesTheOthers) {
  SavedAgent one = make("one");
  env_.advance(5000);
  auto two = await(agents_.update(kMine, one.id, set("model", "\"two\"")));
  ASSERT_TRUE(two);
  EXPECT_EQ(two->agent.version, 2u);
  EXPECT_EQ(two->agent.created, one.created);
  EXPECT_EQ(two->agent.updated, env_.now());
  EXPECT_EQ(await(agents_.find(kMine, one.id))->definition.settings.at("model"), "\"two\"");
  EXPECT_EQ(await(agents_.find(kMine, one.id, 1))->definition.settings.at("model"), "\"one\"");
  EXPECT_EQ(code_of(await(agents_.find(kMine, one.id, 3))), ErrorCode::kNotFound);

  env_.advance(-60'000);  // a clock that was set back
  auto three = await(agents_.update(kMine, one.id, set("model", "\"three\"")));
  EXPECT_EQ(three->agent.updated, two->agent.updated);
  EXPECT_THAT(numbers(*await(agents_.versions(kMine, one.id, {}))), ElementsAre(3, 2, 1));
}

TEST_F(SavedAgentsTest, UpdatesAtOnceAllCount) {
  SavedAgent agent = make();
  std::vector<Later<Result<WrittenAgent>>> updates;
  for (int i = 0; i < 20; ++i)
    updates.push_back(start(agents_.update(kMine, agent.id, set("s" + std::to_string(i), "true"))));
  run();
  std::set<std::uint64_t> made;
  for (auto& update : updates) {
    Result<WrittenAgent>& written = update->value();
    ASSERT_TRUE(written) << written.error().message;
    made.insert(written->agent.version);
  }
  EXPECT_EQ(made.size(), 20u) << "each is a version of its own";
  auto last = await(agents_.find(kMine, agent.id));
  EXPECT_EQ(last->version, 21u);
  EXPECT_EQ(last->definition.settings.size(), 21u) << "none was lost";
}

TEST_F(SavedAgentsTest, ARefusedChangeChangesNothing) {
  SavedAgent agent = make();
  auto refuse = [](const SavedAgent&) -> Result<AgentDefinition> {
    return fail(ErrorCode::kInvalidArgument, "no");
  };
  EXPECT_EQ(code_of(await(agents_.update(kMine, agent.id, refuse))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(await(agents_.find(kMine, agent.id))->version, 1u);
}

TEST_F(SavedAgentsTest, ADeletedAgentIsGoneWithItsVersionsAndStaysGone) {
  SavedAgent agent = make();
  SavedAgent other = make();
  ASSERT_TRUE(await(agents_.update(kMine, agent.id, set("a", "1"))));
  ASSERT_TRUE(await(agents_.remove(kMine, agent.id)));
  EXPECT_TRUE(await(agents_.remove(kMine, agent.id))) << "deleting again succeeds";
  EXPECT_EQ(code_of(await(agents_.remove(kMine, "agent_x"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(await(agents_.find(kMine, agent.id))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(await(agents_.find(kMine, agent.id, 1))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(await(agents_.versions(kMine, agent.id, {}))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(await(agents_.update(kMine, agent.id, set("a", "2")))), ErrorCode::kNotFound);
  EXPECT_THAT(ids(*await(agents_.list(kMine, {}))), ElementsAre(other.id));
}

TEST_F(SavedAgentsTest, AnUpdateDuringADeletionDoesNotBringTheAgentBack) {
  for (int i = 0; i < 8; ++i) {
    SavedAgent agent = make();
    auto removed = start(agents_.remove(kMine, agent.id));
    auto updated = start(agents_.update(kMine, agent.id, set("a", "1")));
    run();
    EXPECT_TRUE(removed->value());
    EXPECT_TRUE(updated->has_value());
    EXPECT_EQ(code_of(await(agents_.find(kMine, agent.id))), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(await(agents_.find(kMine, agent.id, 2))), ErrorCode::kNotFound);
  }
}

TEST_F(SavedAgentsTest, AnotherProjectSeesNothing) {
  SavedAgent agent = make();
  EXPECT_EQ(code_of(await(agents_.find(kOther, agent.id))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(await(agents_.find(kOther, agent.id, 1))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(await(agents_.versions(kOther, agent.id, {}))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(await(agents_.remove(kOther, agent.id))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(await(agents_.update(kOther, agent.id, set("a", "1")))), ErrorCode::kNotFound);
  EXPECT_TRUE(await(agents_.list(kOther, {}))->data.empty());
  EXPECT_EQ(code_of(await(agents_.list(kOther, {.after = agent.id}))), ErrorCode::kNotFound);
  EXPECT_TRUE(await(agents_.find(kMine, agent.id)));
}

TEST_F(SavedAgentsTest, ListsGoInPages) {
  std::vector<std::string> made;
  for (int i = 0; i < 3; ++i) {
    made.push_back(make().id);
    env_.advance(1);
  }
  auto newest = await(agents_.list(kMine, {.limit = 2}));
  EXPECT_THAT(ids(*newest), ElementsAre(made[2], made[1]));
  EXPECT_TRUE(newest->has_more);
  auto rest = await(agents_.list(kMine, {.after = made[1], .limit = 2}));
  EXPECT_THAT(ids(*rest), ElementsAre(made[0]));
  EXPECT_FALSE(rest->has_more);
  EXPECT_THAT(ids(*await(agents_.list(kMine, {.limit = 3, .ascending = true}))),
              ElementsAre(made[0], made[1], made[2]));

  for (int i = 0; i < 11; ++i) ASSERT_TRUE(await(agents_.update(kMine, made[0], set("a", "1"))));
  auto page = await(agents_.versions(kMine, made[0], {.after = 11, .limit = 3}));
  EXPECT_THAT(numbers(*page), ElementsAre(10, 9, 8)) << "by number, not by text";
  EXPECT_TRUE(page->has_more);
  EXPECT_THAT(numbers(*await(agents_.versions(kMine, made[0], {.after = 10, .ascending = true}))),
              ElementsAre(11, 12));
  auto beyond = await(agents_.versions(kMine, made[0], {.after = 13}));
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().param, "after");
}

TEST_F(SavedAgentsTest, TheAnswerToKeepIsKeptWithTheWrite) {
  journal::IdempotencyRecord record{.scope = {kMine, "key_1", "POST /v1/agents", "k"},
                                    .request_hash = "h",
                                    .status = 201,
                                    .expires = env_.now() + 1000};
  auto keep = [&](const SavedAgent& agent) {
    record.session = agent.id;
    record.body = std::to_string(agent.version);
    return std::optional(record);
  };
  auto made = await(agents_.create(kMine, definition("m"), keep));
  ASSERT_TRUE(made);
  auto kept = await(store_.find_idempotency(record.scope, env_.now()));
  ASSERT_TRUE(kept && *kept);
  EXPECT_EQ((*kept)->session, made->agent.id);
  EXPECT_EQ(code_of(await(agents_.create(kMine, definition("m"), keep))), ErrorCode::kConflict);
  EXPECT_EQ(await(agents_.list(kMine, {}))->data.size(), 1u);
}

}  // namespace
}  // namespace perdure::resources
