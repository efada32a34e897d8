// Who sees and sets which money, and how it is written. What budgets do is the engine's test.
#include "facades/admin/budgets_api.h"

#include <boost/asio/detached.hpp>

#include "facades/admin/api_test_support.h"

namespace perdure::facades::admin {
namespace {

using async::Task;

/// A store's money, and one session in the project alpha.
class StoredAccounts final : public engine::Accounts {
 public:
  explicit StoredAccounts(journal::JournalStore& store) : store_(store) {}
  Task<Result<journal::Budget>> put_budget(journal::Budget budget) override {
    return store_.put_budget(std::move(budget));
  }
  Task<Result<journal::Committed>> delete_budget(ProjectId project, journal::BudgetScope scope,
                                                 std::string id) override {
    return store_.delete_budget(std::move(project), scope, std::move(id));
  }
  Task<Result<std::vector<journal::Budget>>> budgets(ProjectId project) override {
    return store_.budgets(std::move(project));
  }
  Task<Result<std::vector<journal::UsageRow>>> usage(journal::UsageQuery query) override {
    return store_.usage(std::move(query));
  }
  Task<Result<engine::SessionUsage>> session_usage(SessionKey key, engine::Page page) override {
    last_page = page;
    if (key != SessionKey{{"alpha"}, {"sess_1"}}) co_return fail(ErrorCode::kNotFound, "no");
    engine::SessionUsage usage{.model = "m", .limit = 20'000'000, .spent = 5, .reserved = 7};
    usage.turns.data.push_back({"turn_1", 2000, {.calls = 1, .input = 3, .cost = 5}});
    co_return usage;
  }
  engine::Page last_page;

 private:
  journal::JournalStore& store_;
};

class BudgetsApiTest : public ApiTest {
 protected:
  BudgetsApiTest() {
    await(keys_.create_project("alpha")).value();
    await(keys_.create_project("beta")).value();
    api_.add_routes(router_);
  }
  void spend(std::string session, std::string model, journal::Money cost) {
    journal::Append append{.key = {{"alpha"}, {std::move(session)}}};
    append.entries.push_back({.kind = 11, .body = "{}"});
    append.settle.push_back({.call = 1,
                             .payer = {.agent = "agt_1", .model = std::move(model)},
                             .used = {.calls = 1, .input = 10, .cost = cost}});
    EXPECT_TRUE(await(appended(std::move(append))));
  }
  static Task<> made(resources::Workstreams* all, resources::Workstream draft) {
    EXPECT_TRUE(co_await all->create({"alpha"}, std::move(draft)));
  }
  Task<bool> appended(journal::Append append) {
    co_return (co_await store_.append(std::move(append))).has_value();
  }

  StoredAccounts accounts_{store_};
  identity::Caller caller_ = alpha_;
  resources::Workstreams workstreams_{env_, store_};
  BudgetsApi api_{accounts_, workstreams_, keys_, [this](const http::Request&) { return caller_; }};
};

TEST_F(BudgetsApiTest, ABudgetIsSetListedAndRemoved) {
  http::Response made =
      call("PUT", "/api/budgets/workstream/w", R"({"limit_dollars": 12.50, "window": "month"})");
  ASSERT_EQ(made.status, 200) << made.body;
  json::object budget = parsed(made);
  EXPECT_EQ(get_int(budget, "limit_nano"), 12'500'000'000);
  EXPECT_EQ(get_string(budget, "limit_dollars"), "12.50");
  EXPECT_EQ(get_string(budget, "left_dollars"), "12.50");
  EXPECT_EQ(get_string(budget, "window"), "month");
  EXPECT_EQ(get_array(parsed(call("GET", "/api/budgets")), "data").size(), 1u);
  EXPECT_EQ(call("DELETE", "/api/budgets/workstream/w").status, 200);
  EXPECT_EQ(call("DELETE", "/api/budgets/workstream/w").status, 404);
}

TEST_F(BudgetsApiTest, MoneyIsReadExactly) {
  auto limit = [&](std::string body) {
    return get_int(parsed(call("PUT", "/api/budgets/agent/a", std::move(body))), "limit_nano", -1);
  };
  EXPECT_EQ(limit(R"({"limit_dollars": 0.1})"), 100'000'000);
  EXPECT_EQ(limit(R"({"limit_dollars": "0.000000001"})"), 1);
  EXPECT_EQ(limit(R"({"limit_dollars": 0})"), 0);
  EXPECT_EQ(limit(R"({"limit_nano": 9007199254740993})"), 9007199254740993);
  for (const char* body :
       {R"({"limit_dollars": 0.0000000001})", R"({"limit_dollars": -1})",
        R"({"limit_dollars": 1e3})", R"({"limit_dollars": "much"})",
        R"({"limit_dollars": 99999999999})", "{}", R"({"limit_dollars": 1, "limit_nano": 1})"}) {
    http::Response refused = call("PUT", "/api/budgets/agent/a", body);
    EXPECT_EQ(refused.status, 400) << body;
    EXPECT_EQ(param_of(refused), "limit_dollars") << body;
  }
  EXPECT_EQ(param_of(call("PUT", "/api/budgets/agent/a", R"({"limit_nano": -1})")), "limit_nano");
  EXPECT_EQ(param_of(call("PUT", "/api/budgets/agent/a", R"({"limit_nano":1,"window":"week"})")),
            "window");
  EXPECT_EQ(param_of(call("PUT", "/api/budgets/agent/a", R"({"limit_nano":1,"limit":2})")),
            "limit");
  EXPECT_EQ(param_of(call("PUT", "/api/budgets/session/s", R"({"limit_nano":1})")), "scope");
  EXPECT_EQ(param_of(call("PUT", "/api/budgets/team/s", R"({"limit_nano":1})")), "scope");
}

TEST_F(BudgetsApiTest, AProjectsBudgetIsTheOperators) {
  const std::string body = R"({"limit_nano":1})";
  EXPECT_EQ(call("PUT", "/api/budgets/project/alpha", body).status, 403);
  EXPECT_EQ(call("DELETE", "/api/budgets/project/alpha").status, 403);
  caller_ = operator_;
  EXPECT_EQ(call("PUT", "/api/budgets/project/alpha", body, {{"project", "alpha"}}).status, 200);
  EXPECT_EQ(call("PUT", "/api/budgets/project/beta", body, {{"project", "alpha"}}).status, 404);
  EXPECT_EQ(call("PUT", "/api/budgets/project/gamma", body, {{"project", "gamma"}}).status, 404);
  EXPECT_EQ(call("PUT", "/api/budgets/project/beta", body).status, 200) << "its name is enough";
  EXPECT_EQ(call("DELETE", "/api/budgets/project/beta").status, 200);
  for (const char* method : {"PUT", "DELETE"}) {
    http::Response refused = call(method, "/api/budgets/project/gamma", body);
    EXPECT_EQ(refused.status, 404);
    EXPECT_EQ(get_string(get_object(parsed(refused), "error"), "message"),
              "There is no such project 'gamma'.");
  }
  caller_ = alpha_;
  EXPECT_EQ(get_array(parsed(call("GET", "/api/budgets")), "data").size(), 1u) << "it is seen";
  EXPECT_EQ(call("PUT", "/api/budgets/project/beta", body).body,
            call("PUT", "/api/budgets/project/gamma", body).body)
      << "who is not the operator learns nothing of other projects";
}

TEST_F(BudgetsApiTest, AnotherProjectsMoneyIsNotFound) {
  spend("s", "m", 5);
  call("PUT", "/api/budgets/workstream/w", R"({"limit_nano":1})");
  caller_ = beta_;
  EXPECT_TRUE(get_array(parsed(call("GET", "/api/budgets")), "data").empty());
  EXPECT_TRUE(get_array(parsed(call("GET", "/api/usage")), "data").empty());
  EXPECT_EQ(call("DELETE", "/api/budgets/workstream/w").status, 404);
  EXPECT_EQ(call("GET", "/api/sessions/sess_1/usage").status, 404);
  for (const char* path : {"/api/usage", "/api/budgets"})
    EXPECT_EQ(call("GET", path, "", {{"project", "alpha"}}).body,
              call("GET", path, "", {{"project", "never"}}).body);
  caller_ = operator_;
  EXPECT_EQ(get_array(parsed(call("GET", "/api/usage", "", {{"project", "alpha"}})), "data").size(),
            1u);
}

TEST_F(BudgetsApiTest, UsageIsGivenInPages) {
  spend("a", "large", 5);
  spend("b", "large", 6);
  spend("c", "small", 7);
  json::object all = parsed(call("GET", "/api/usage"));
  const json::object& total = get_array(all, "data").at(0).get_object();
  EXPECT_EQ(get_int(total, "cost_nano"), 18);
  EXPECT_EQ(get_string(total, "cost_dollars"), "0.000000018");
  EXPECT_EQ(get_int(total, "model_calls"), 3);

  http::Query query = {{"group_by", "model,session"}, {"limit", "2"}};
  json::object first = parsed(call("GET", "/api/usage", "", query));
  EXPECT_EQ(get_array(first, "data").size(), 2u);
  EXPECT_TRUE(get_bool(first, "has_more"));
  query.emplace_back("after", std::string(get_string(first, "next")));
  json::object second = parsed(call("GET", "/api/usage", "", query));
  ASSERT_EQ(get_array(second, "data").size(), 1u);
  EXPECT_EQ(get_string(get_array(second, "data").at(0).get_object(), "model"), "small");
  EXPECT_FALSE(get_bool(second, "has_more"));
}

TEST_F(BudgetsApiTest, WhatIsWrongWithAQueryIsNamed) {
  for (const auto& [key, value] : http::Query{{"from", "yesterday"},
                                              {"to", "2026-02-30"},
                                              {"group_by", "weather"},
                                              {"group_by", "day,day"},
                                              {"limit", "0"},
                                              {"after", "[]"},
                                              {"after", "nonsense"},
                                              {"form", "2026-01-01"}}) {
    http::Response refused = call("GET", "/api/usage", "", {{key, value}});
    EXPECT_EQ(refused.status, 400) << key << "=" << value;
    EXPECT_EQ(param_of(refused), key);
  }
  const auto between = [this](std::string from, std::string to) {
    return call("GET", "/api/usage", "", {{"from", std::move(from)}, {"to", std::move(to)}});
  };
  EXPECT_EQ(between("2026-02-03", "2026-02-03").status, 200);
  EXPECT_EQ(between("2026-02-03", "2026-02-02").status, 400);
  EXPECT_EQ(param_of(between("2026-02-03", "2026-02-02")), "from");
}

TEST_F(BudgetsApiTest, ASessionsUsageIsGivenByTurn) {
  json::object usage = parsed(call("GET", "/api/sessions/sess_1/usage", "", {{"limit", "7"}}));
  EXPECT_EQ(get_string(usage, "limit_dollars"), "0.02");
  EXPECT_EQ(get_int(usage, "spent_nano"), 5);
  EXPECT_EQ(get_int(usage, "reserved_nano"), 7);
  EXPECT_EQ(get_string(get_array(usage, "data").at(0).get_object(), "turn"), "turn_1");
  EXPECT_EQ(accounts_.last_page.limit, 7u);
  EXPECT_TRUE(accounts_.last_page.ascending);
}

TEST_F(BudgetsApiTest, TheBudgetOfAClosedWorkstreamIsItsOwners) {
  caller_ = alpha_;
  const std::string path = "/api/budgets/workstream/launch", body = R"({"limit_nano":5})";
  ASSERT_EQ(call("PUT", path, body).status, 200);
  using resources::Role;
  boost::asio::co_spawn(
      loop_,
      made(&workstreams_,
           {.name = "launch", .members = {{"key_o", Role::kOwner}, {"key_m", Role::kMember}}}),
      boost::asio::detached);
  loop_.restart();
  loop_.run();
  EXPECT_EQ(call("PUT", path, body).status, 404);
  EXPECT_EQ(call("DELETE", path).body, call("DELETE", "/api/budgets/workstream/never").body);
  EXPECT_TRUE(parsed(call("GET", "/api/budgets")).at("data").as_array().empty());
  caller_ = {{"alpha"}, "key_m", false};
  EXPECT_EQ(call("PUT", path, body).status, 403);
  EXPECT_EQ(call("DELETE", path).status, 403);
  EXPECT_EQ(parsed(call("GET", "/api/budgets")).at("data").as_array().size(), 1u);
  caller_ = {{"alpha"}, "key_o", false};
  EXPECT_EQ(call("PUT", path, body).status, 200);
  EXPECT_EQ(call("DELETE", path).status, 200);
}

}  // namespace
}  // namespace perdure::facades::admin
