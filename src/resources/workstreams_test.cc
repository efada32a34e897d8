// Workstreams over a store in memory: who may do what, what two changes at once leave, and that the
// rows beside a workstream say the same as it does.
#include "resources/workstreams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "journal/memory/memory_journal.h"
#include "resources/limits.h"

namespace perdure::resources {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const ProjectId kMine{"mine"};
const ProjectId kOther{"other"};

class WorkstreamsTest : public testing::Test {
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
    return std::move(result->value());
  }

  Workstream make(std::string name, std::map<std::string, Role> members = {}) {
    auto made = await(all_.create(kMine, {.name = std::move(name), .members = std::move(members)}));
    EXPECT_TRUE(made) << made.error().message;
    env_.advance(1000);
    return made->workstream;
  }
  static Workstreams::Change with(std::function<void(Workstream*)> edit) {
    return [edit = std::move(edit)](const Workstream& newest) -> Result<Workstream> {
      Workstream next = newest;
      edit(&next);
      return next;
    };
  }
  Result<WrittenWorkstream> edit(std::string name, std::function<void(Workstream*)> how) {
    return await(all_.change(kMine, std::move(name), with(std::move(how))));
  }
  static Workstreams::Change allow() {
    return [](const Workstream& newest) -> Result<Workstream> { return newest; };
  }
  std::vector<std::string> names(WorkstreamPage page, Asker asker, bool* more = nullptr) {
    auto listed = await(all_.list(kMine, std::move(page), std::move(asker)));
    EXPECT_TRUE(listed) << listed.error().message;
    std::vector<std::string> out;
    for (const Workstream& one : listed->data) out.push_back(one.name);
    if (more) *more = listed->has_more;
    return out;
  }
  /// What a store's queries go by.
  bool stores_say(const std::string& workstream, const std::string& principal) {
    return *await(journal::may_see(&store_, kMine, workstream, {.principal = principal}));
  }
  void add_session(std::string id, std::string workstream) {
    journal::Append append{.key = {kMine, {std::move(id)}}, .workstream = std::move(workstream)};
    append.entries.push_back({.kind = 1, .body = "{}"});
    ASSERT_TRUE(await(store_.append(std::move(append))));
  }
  template <class T>
  static ErrorCode code_of(const Result<T>& result) {
    return result ? ErrorCode::kInternal : result.error().code;
  }
  template <class T>
  static std::string param_of(const Result<T>& result) {
    return result ? "it succeeded" : result.error().param;
  }

  FakeEnv env_;
  boost::asio::io_context loop_;
  journal::MemoryJournal store_{env_};
  Workstreams all_{env_, store_};
};

TEST_F(WorkstreamsTest, WhatWasMadeIsFoundAndEveryChangeIsKept) {
  Workstream draft{.name = "launch", .description = "a \"launch\""};
  draft.metadata = {{"team", "blue"}};
  draft.agents = {"agent_1", "agent_2"};
  draft.members = {{"key_a", Role::kOwner}, {"key_b", Role::kViewer}};
  ASSERT_TRUE(await(all_.create(kMine, draft)));
  auto found = await(all_.find(kMine, "launch"));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->description, draft.description);
  EXPECT_EQ(found->metadata, draft.metadata);
  EXPECT_EQ(found->agents, draft.agents);
  EXPECT_EQ(found->members, draft.members);
  EXPECT_EQ(found->created, env_.now());
  EXPECT_FALSE(found->archived);
  env_.advance(5000);
  auto changed = edit("launch", [](Workstream* one) {
    one->archived = true;
    one->agents = {"agent_2", "agent_3"};
    one->members.erase("key_b");
  });
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(changed->workstream.version, 2u);
  EXPECT_EQ(changed->workstream.updated, env_.now());
  EXPECT_EQ(changed->workstream.created, env_.now() - 5000);
  EXPECT_TRUE(await(all_.find(kMine, "launch"))->archived);
  EXPECT_EQ(await(all_.of_agent(kMine, "agent_3")), "launch");
  EXPECT_EQ(await(all_.of_agent(kMine, "agent_1")), std::nullopt);
  EXPECT_FALSE(stores_say("launch", "key_b"));

  EXPECT_EQ(code_of(await(all_.create(kMine, {.name = "launch"}))), ErrorCode::kConflict);
  EXPECT_TRUE(await(all_.create(kOther, {.name = "launch"}))) << "names are a project's own";
  EXPECT_EQ(code_of(await(all_.find(kOther, "never"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(edit("never", [](Workstream*) {})), ErrorCode::kNotFound);
}

TEST_F(WorkstreamsTest, ARoleAllowsWhatItSays) {
  make("open");
  make("shut", {{"key_o", Role::kOwner}, {"key_m", Role::kMember}, {"key_v", Role::kViewer}});
  const auto access = [&](std::optional<std::string> name, Asker asker) {
    return await(all_.access(kMine, std::move(name), std::move(asker))).value();
  };
  EXPECT_EQ(access("shut", "key_o"), Access::kManage);
  EXPECT_EQ(access("shut", "key_m"), Access::kWork);
  EXPECT_EQ(access("shut", "key_v"), Access::kRead);
  EXPECT_EQ(access("shut", "key_x"), Access::kNone);
  EXPECT_EQ(access("shut", std::nullopt), Access::kManage) << "the operator";
  EXPECT_EQ(access("open", "key_x"), Access::kManage);
  EXPECT_EQ(access("never made", "key_x"), Access::kManage);
  EXPECT_EQ(access(std::nullopt, "key_x"), Access::kManage);
  for (const char* key : {"key_o", "key_m", "key_v", "key_x"})
    EXPECT_EQ(stores_say("shut", key), access("shut", key) != Access::kNone) << key;

  add_session("sess_1", "shut");
  const SessionKey session{kMine, {"sess_1"}};
  EXPECT_EQ(await(all_.access_to_session(session, "key_x")), Access::kNone);
  EXPECT_EQ(await(all_.access_to_session(session, "key_v")), Access::kRead);
  ASSERT_TRUE(await(store_.delete_session(session, 1)));
  EXPECT_EQ(await(all_.access_to_session(session, "key_x")), Access::kNone) << "also deleted";
  EXPECT_EQ(code_of(await(all_.access_to_session({kMine, {"sess_2"}}, "key_x"))),
            ErrorCode::kNotFound);
}

TEST_F(WorkstreamsTest, MembersNeedAnOwnerAndWithoutAnyItIsOpen) {
  EXPECT_EQ(
      param_of(await(all_.create(kMine, {.name = "shut", .members = {{"key_m", Role::kMember}}}))),
      "members");
  make("shut", {{"key_o", Role::kOwner}, {"key_m", Role::kMember}});
  EXPECT_EQ(param_of(edit("shut", [](Workstream* one) { one->members.erase("key_o"); })),
            "members");
  EXPECT_EQ(await(all_.find(kMine, "shut"))->members.size(), 2u) << "nothing was changed";
  ASSERT_TRUE(edit("shut", [](Workstream* one) { one->members.clear(); }));
  EXPECT_TRUE(stores_say("shut", "key_x"));
}

TEST_F(WorkstreamsTest, AnAgentIsInOneWorkstreamAtMost) {
  make("one");
  make("two");
  const auto take = [](Workstream* one) { one->agents.push_back("agent_1"); };
  ASSERT_TRUE(edit("one", take));
  auto second = edit("two", take);
  EXPECT_EQ(code_of(second), ErrorCode::kConflict);
  EXPECT_EQ(param_of(second), "agents");
  EXPECT_EQ(param_of(edit("one", take)), "agents") << "twice";
  ASSERT_TRUE(edit("one", [](Workstream* one) { one->agents.clear(); }));
  EXPECT_TRUE(edit("two", take));
  // Two at once: one gets it.
  auto three = start(all_.create(kMine, {.name = "three", .agents = {"agent_9"}}));
  auto four = start(all_.create(kMine, {.name = "four", .agents = {"agent_9"}}));
  run();
  EXPECT_NE(three->value().has_value(), four->value().has_value());
}

TEST_F(WorkstreamsTest, ChangesAtOnceAllCount) {
  make("launch", {{"key_o", Role::kOwner}});
  std::vector<Later<Result<WrittenWorkstream>>> changes;
  for (int i = 0; i < 20; ++i)
    changes.push_back(start(all_.change(kMine, "launch", with([i](Workstream* one) {
                                          one->members["key_" + std::to_string(i)] = Role::kMember;
                                        }))));
  run();
  for (auto& change : changes) ASSERT_TRUE(change->value()) << change->value().error().message;
  EXPECT_EQ(await(all_.find(kMine, "launch"))->members.size(), 21u);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(stores_say("launch", "key_" + std::to_string(i)));
}

TEST_F(WorkstreamsTest, OnlyAnArchivedOneWithoutSessionsCanBeDeleted) {
  make("launch", {{"key_o", Role::kOwner}});
  ASSERT_TRUE(edit("launch", [](Workstream* one) { one->agents = {"agent_1"}; }));
  EXPECT_EQ(code_of(await(all_.remove(kMine, "launch", allow()))), ErrorCode::kConflict);
  ASSERT_TRUE(edit("launch", [](Workstream* one) { one->archived = true; }));
  add_session("sess_1", "launch");
  EXPECT_EQ(code_of(await(all_.remove(kMine, "launch", allow()))), ErrorCode::kConflict);
  EXPECT_FALSE(stores_say("launch", "key_x")) << "its sessions stay its members'";
  ASSERT_TRUE(await(store_.delete_session({kMine, {"sess_1"}}, 1)));
  auto refuse = [](const Workstream&) -> Result<Workstream> {
    return fail(ErrorCode::kPermissionDenied, "no");
  };
  EXPECT_EQ(code_of(await(all_.remove(kMine, "launch", refuse))), ErrorCode::kPermissionDenied);
  ASSERT_TRUE(await(all_.remove(kMine, "launch", allow())));
  EXPECT_EQ(code_of(await(all_.find(kMine, "launch"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(await(all_.remove(kMine, "launch", allow()))), ErrorCode::kNotFound);
  EXPECT_THAT(names({.with_archived = true}, std::nullopt), IsEmpty());
  EXPECT_EQ(await(all_.of_agent(kMine, "agent_1")), std::nullopt);

  env_.advance(5000);
  Workstream again = make("launch");
  EXPECT_EQ(again.created, env_.now() - 1000) << "another one of this name";
  EXPECT_THAT(again.members, IsEmpty());
  EXPECT_TRUE(stores_say("launch", "key_x"));
}

TEST_F(WorkstreamsTest, AChangeDuringADeletionIsNotOverrun) {
  make("launch");
  ASSERT_TRUE(edit("launch", [](Workstream* one) { one->archived = true; }));
  auto removed = start(all_.remove(kMine, "launch", allow()));
  auto changed =
      start(all_.change(kMine, "launch", with([](Workstream* one) { one->archived = false; })));
  run();
  auto found = await(all_.find(kMine, "launch"));
  EXPECT_EQ(found.has_value(), changed->value().has_value());
  EXPECT_NE(changed->value().has_value(), removed->value().has_value());
}

TEST_F(WorkstreamsTest, NamingOneMakesItOnce) {
  auto first = start(all_.ensure(kMine, "launch"));
  auto second = start(all_.ensure(kMine, "launch"));
  run();
  EXPECT_TRUE(first->value());
  EXPECT_TRUE(second->value());
  ASSERT_TRUE(await(all_.ensure(kMine, "launch")));
  EXPECT_EQ(await(all_.find(kMine, "launch"))->version, 1u);
  EXPECT_FALSE(await(all_.find(kMine, "launch"))->closed());
}

TEST_F(WorkstreamsTest, PagesAreFullOfWhatTheAskerSees) {
  std::vector<std::string> seen, everything;
  for (int i = 0; i < 12; ++i) {
    const std::string name = "ws-" + std::to_string(i);
    if (i % 3 == 0)
      make(name, {{"key_o", Role::kOwner}});
    else
      make(name);
    if (i % 3 == 1) edit(name, [](Workstream* one) { one->archived = true; });
    everything.push_back(name);
    if (i % 3 == 2) seen.push_back(name);
  }
  EXPECT_EQ(names({.limit = 50, .ascending = true, .with_archived = true}, std::nullopt),
            everything);
  EXPECT_EQ(names({.limit = 50, .ascending = true, .with_archived = true}, "key_o"), everything);
  for (bool ascending : {true, false}) {
    std::vector<std::string> expected = seen;
    if (!ascending) std::ranges::reverse(expected);
    for (std::size_t limit = 1; limit <= expected.size() + 1; ++limit) {
      std::vector<std::string> all;
      std::optional<std::string> after;
      for (bool more = true; more;) {
        auto page = names({.after = after, .limit = limit, .ascending = ascending}, "key_x", &more);
        EXPECT_EQ(page.size() == limit || !more, true) << limit;
        all.insert(all.end(), page.begin(), page.end());
        if (!page.empty()) after = page.back();
      }
      EXPECT_EQ(all, expected) << limit;
    }
  }
  EXPECT_THAT(await(all_.hidden_from(kMine, "key_x")).value(),
              ElementsAre("ws-0", "ws-3", "ws-6", "ws-9"));
  EXPECT_THAT(await(all_.hidden_from(kMine, "key_o")).value(), IsEmpty());
  EXPECT_EQ(code_of(await(all_.list(kMine, {.after = "ws-0"}, "key_x"))), ErrorCode::kNotFound)
      << "what is hidden is no cursor";
  EXPECT_EQ(code_of(await(all_.list(kMine, {.after = "never"}, "key_x"))), ErrorCode::kNotFound);
  EXPECT_THAT(await(all_.list(kOther, {}, "key_x"))->data, IsEmpty());
}

TEST_F(WorkstreamsTest, LimitsAreStated) {
  std::map<std::string, Role> crowd;
  for (std::size_t i = 0; i <= kMaxWorkstreamMembers; ++i)
    crowd["key_" + std::to_string(i)] = Role::kOwner;
  EXPECT_EQ(param_of(await(all_.create(kMine, {.name = "crowd", .members = crowd}))), "members");
  crowd.erase("key_0");
  EXPECT_TRUE(await(all_.create(kMine, {.name = "crowd", .members = crowd})));
}

TEST_F(WorkstreamsTest, WhatCannotBeReadOpensNothing) {
  make("shut", {{"key_o", Role::kOwner}});
  ASSERT_TRUE(await(store_.put_row({.project = kMine,
                                    .kind = std::string(journal::kWorkstreamKind),
                                    .id = "shut",
                                    .body = R"({"v":1,"members":{"key_o":"emperor"}})"},
                                   1)));
  EXPECT_EQ(code_of(await(all_.access(kMine, "shut", "key_x"))), ErrorCode::kInternal);
}

}  // namespace
}  // namespace perdure::resources
