// Who may make, see and change which workstreams, and how they are written. What membership does to
// sessions: engine and routes tests.
#include "facades/admin/workstreams_api.h"

#include "facades/admin/api_test_support.h"
#include "facades/admin/limits.h"

namespace perdure::facades::admin {
namespace {

using async::Task;

/// A store's budgets.
class StoredBudgets final : public engine::Accounts {
 public:
  explicit StoredBudgets(journal::JournalStore& store) : store_(store) {}
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
  Task<Result<std::vector<journal::UsageRow>>> usage(journal::UsageQuery) override {
    co_return fail(ErrorCode::kUnimplemented, "");
  }
  Task<Result<engine::SessionUsage>> session_usage(SessionKey, engine::Page) override {
    co_return fail(ErrorCode::kUnimplemented, "");
  }

 private:
  journal::JournalStore& store_;
};

class WorkstreamsApiTest : public ApiTest {
 protected:
  WorkstreamsApiTest() {
    api_.add_routes(router_);
    owner_ = key("alpha");
    member_ = key("alpha");
    stranger_ = key("alpha");
    neighbour_ = key("beta");
    caller_ = owner_;
  }
  identity::Caller key(const std::string& project) {
    return {{project}, await(keys_.create(project, "test")).value().info.id, false};
  }
  /// The answer's status to this caller.
  int status(const identity::Caller& caller, std::string method, std::string path,
             std::string body = {}) {
    const identity::Caller before = std::exchange(caller_, caller);
    const int status = call(std::move(method), std::move(path), std::move(body)).status;
    caller_ = before;
    return status;
  }
  std::string member_path(const identity::Caller& caller) {
    return "/api/workstreams/launch/members/" + caller.principal;
  }
  json::object show(const std::string& name) {
    return parsed(call("GET", "/api/workstreams/" + name));
  }

  StoredBudgets accounts_{store_};
  resources::Workstreams workstreams_{env_, store_};
  resources::SavedAgents agents_{env_, store_};
  identity::Caller owner_, member_, stranger_, neighbour_;
  identity::Caller caller_;
  WorkstreamsApi api_{{.workstreams = workstreams_,
                       .agents = agents_,
                       .accounts = accounts_,
                       .keys = keys_,
                       .caller_of = [this](const http::Request&) { return caller_; }}};
};

TEST_F(WorkstreamsApiTest, WhatWasMadeIsShownWithAllOfIt) {
  env_.advance(5000);
  http::Response made =
      call("POST", "/api/workstreams",
           R"({"name":"launch","description":"A launch","metadata":{"team":"blue"}})");
  ASSERT_EQ(made.status, 201) << made.body;
  const std::string at = std::to_string(env_.now() / 1000);
  EXPECT_EQ(made.body,
            R"({"object":"workstream","name":"launch","description":"A launch",)"
            R"("metadata":{"team":"blue"},"agents":[],"open":true,"members":[],"role":null,)"
            R"("archived":false,"budget":null,"created_at":)" +
                at + R"(,"updated_at":)" + at + "}");
  EXPECT_EQ(call("GET", "/api/workstreams/launch").body, made.body);
  EXPECT_EQ(call("GET", "/api/workstreams").body,
            R"({"data":[)" + made.body + R"(],"has_more":false,"next":null})");
  EXPECT_EQ(call("POST", "/api/workstreams", R"({"name":"launch"})").status, 409);
}

TEST_F(WorkstreamsApiTest, AChangeChangesWhatItNames) {
  call("POST", "/api/workstreams", R"({"name":"launch","description":"x","metadata":{"a":"b"}})");
  http::Response changed =
      call("POST", "/api/workstreams/launch", R"({"description":"y","archived":true})");
  ASSERT_EQ(changed.status, 200) << changed.body;
  json::object shown = show("launch");
  EXPECT_EQ(shown.at("description").as_string(), "y");
  EXPECT_EQ(shown.at("metadata").as_object().size(), 1u);
  EXPECT_TRUE(shown.at("archived").as_bool());
  EXPECT_TRUE(parsed(call("GET", "/api/workstreams")).at("data").as_array().empty());
  EXPECT_EQ(parsed(call("GET", "/api/workstreams", "", {{"include_archived", "true"}}))
                .at("data")
                .as_array()
                .size(),
            1u);
  EXPECT_EQ(call("POST", "/api/workstreams/launch", R"({"metadata":null})").status, 200);
  EXPECT_TRUE(show("launch").at("metadata").as_object().empty());
  EXPECT_EQ(call("DELETE", "/api/workstreams/launch").status, 200);
  EXPECT_EQ(call("GET", "/api/workstreams/launch").status, 404);
  EXPECT_EQ(call("DELETE", "/api/workstreams/launch").status, 404);
}

TEST_F(WorkstreamsApiTest, WhoGivesItMembersOwnsItAndOthersDoNotFindIt) {
  call("POST", "/api/workstreams", R"({"name":"launch"})");
  ASSERT_EQ(call("PUT", member_path(member_), R"({"role":"member"})").status, 200);
  EXPECT_EQ(show("launch").at("role").as_string(), "owner");
  EXPECT_EQ(show("launch").at("members").as_array().size(), 2u);

  caller_ = stranger_;
  const http::Response hidden = call("GET", "/api/workstreams/launch");
  EXPECT_EQ(hidden.status, 404);
  EXPECT_EQ(hidden.body, call("GET", "/api/workstreams/never").body);
  EXPECT_EQ(call("POST", "/api/workstreams/launch", R"({"description":"mine"})").status, 404);
  EXPECT_EQ(call("DELETE", "/api/workstreams/launch").status, 404);
  EXPECT_EQ(call("PUT", member_path(stranger_)).status, 404);
  EXPECT_EQ(call("DELETE", member_path(member_)).status, 404);
  EXPECT_EQ(call("PUT", "/api/workstreams/launch/budget", R"({"limit_nano":1})").status, 404);
  EXPECT_EQ(call("DELETE", "/api/workstreams/launch/budget").status, 404);
  EXPECT_TRUE(parsed(call("GET", "/api/workstreams")).at("data").as_array().empty());
  EXPECT_EQ(call("GET", "/api/workstreams", "", {{"after", "launch"}}).body,
            call("GET", "/api/workstreams", "", {{"after", "never"}}).body);

  // A member sees it and changes nothing of it; the operator does everything.
  EXPECT_EQ(status(member_, "GET", "/api/workstreams/launch"), 200);
  EXPECT_EQ(status(member_, "POST", "/api/workstreams/launch", "{}"), 403);
  EXPECT_EQ(status(member_, "DELETE", "/api/workstreams/launch"), 403);
  EXPECT_EQ(status(member_, "PUT", member_path(stranger_)), 403);
  EXPECT_EQ(status(member_, "PUT", "/api/workstreams/launch/budget", R"({"limit_nano":1})"), 403);
  EXPECT_EQ(status(neighbour_, "GET", "/api/workstreams/launch"), 404);
  caller_ = operator_;
  EXPECT_EQ(call("GET", "/api/workstreams/launch", "", {{"project", "alpha"}}).status, 200);
  EXPECT_EQ(call("GET", "/api/workstreams/launch").status, 404) << "in the operator's own project";
  caller_ = neighbour_;
  EXPECT_EQ(call("GET", "/api/workstreams", "", {{"project", "alpha"}}).status, 404);
}

TEST_F(WorkstreamsApiTest, MembersComeAndGo) {
  http::Response made = call("POST", "/api/workstreams",
                             R"({"name":"launch","members":[{"subject":")" + member_.principal +
                                 R"(","role":"viewer"}]})");
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(parsed(made).at("role").as_string(), "owner");
  EXPECT_EQ(call("DELETE", member_path(owner_)).status, 409) << "the last owner";
  EXPECT_EQ(call("DELETE", member_path(stranger_)).status, 404);
  EXPECT_EQ(call("PUT", member_path(stranger_)).status, 200);
  EXPECT_EQ(status(stranger_, "DELETE", member_path(member_)), 403);
  EXPECT_EQ(status(stranger_, "DELETE", member_path(stranger_)), 200) << "anybody may leave";
  EXPECT_EQ(status(stranger_, "GET", "/api/workstreams/launch"), 404);
  EXPECT_EQ(call("DELETE", member_path(member_)).status, 200);
  EXPECT_EQ(call("DELETE", member_path(owner_)).status, 200) << "the last member opens it";
  EXPECT_EQ(status(stranger_, "GET", "/api/workstreams/launch"), 200);
}

TEST_F(WorkstreamsApiTest, OnlyKeysOfTheProjectThatWorkBecomeMembers) {
  call("POST", "/api/workstreams", R"({"name":"launch"})");
  await(keys_.revoke(stranger_.principal)).value();
  const http::Response foreign = call("PUT", member_path(neighbour_));
  EXPECT_EQ(foreign.status, 400);
  EXPECT_EQ(param_of(foreign), "subject");
  EXPECT_EQ(call("PUT", member_path(stranger_)).status, 400);
  EXPECT_EQ(call("PUT", "/api/workstreams/launch/members/somebody").status, 400);
  const http::Response made =
      call("POST", "/api/workstreams", R"({"name":"next","members":[{"subject":"somebody"}]})");
  EXPECT_EQ(param_of(made), "members");
  EXPECT_TRUE(show("launch").at("open").as_bool());
}

TEST_F(WorkstreamsApiTest, ItsBudgetIsShownWithIt) {
  call("POST", "/api/workstreams", R"({"name":"launch"})");
  EXPECT_EQ(call("DELETE", "/api/workstreams/launch/budget").status, 404);
  const http::Response set =
      call("PUT", "/api/workstreams/launch/budget", R"({"limit_dollars":25,"window":"month"})");
  ASSERT_EQ(set.status, 200) << set.body;
  json::object budget = show("launch").at("budget").as_object();
  EXPECT_EQ(budget.at("limit_dollars").as_string(), "25.00");
  EXPECT_EQ(budget.at("window").as_string(), "month");
  EXPECT_EQ(parsed(call("GET", "/api/workstreams"))
                .at("data")
                .as_array()
                .at(0)
                .at("budget")
                .at("limit_dollars")
                .as_string(),
            "25.00");
  EXPECT_EQ(call("PUT", "/api/workstreams/never/budget", R"({"limit_nano":1})").status, 404);
  EXPECT_EQ(call("DELETE", "/api/workstreams/launch/budget").status, 200);
  EXPECT_TRUE(show("launch").at("budget").is_null());
}

TEST_F(WorkstreamsApiTest, AgentsMustBeThere) {
  const http::Response refused =
      call("POST", "/api/workstreams", R"({"name":"launch","agents":["agent_never"]})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(param_of(refused), "agents");
  EXPECT_EQ(call("GET", "/api/workstreams/launch").status, 404) << "nothing was made";
}

TEST_F(WorkstreamsApiTest, PagesFollowEachOtherInBothOrders) {
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) {
    names.push_back("ws-" + std::to_string(i));
    call("POST", "/api/workstreams", R"({"name":")" + names.back() + "\"}");
    env_.advance(1000);
  }
  for (const char* order : {"asc", "desc"}) {
    std::vector<std::string> expected = names;
    if (std::string_view(order) == "desc") std::ranges::reverse(expected);
    for (std::size_t limit = 1; limit <= 6; ++limit) {
      std::vector<std::string> seen;
      http::Query query{{"order", order}, {"limit", std::to_string(limit)}};
      while (true) {
        json::object page = parsed(call("GET", "/api/workstreams", "", query));
        for (const json::value& one : page.at("data").as_array())
          seen.emplace_back(one.at("name").as_string());
        if (!page.at("has_more").as_bool()) break;
        query = {{"order", order},
                 {"limit", std::to_string(limit)},
                 {"after", std::string(page.at("next").as_string())}};
      }
      EXPECT_EQ(seen, expected) << order << " " << limit;
    }
  }
}

TEST_F(WorkstreamsApiTest, WhatIsNotUnderstoodIsRefusedByName) {
  call("POST", "/api/workstreams", R"({"name":"launch"})");
  using Refused = std::pair<std::string, std::string>;
  const std::vector<Refused> creations = {
      {R"({})", "name"},
      {R"({"name":"no/thing"})", "name"},
      {R"({"name":7})", "name"},
      {R"({"name":"a","archived":true})", "archived"},
      {R"({"name":"a","metadata":[]})", "metadata"},
      {R"({"name":"a","metadata":{"k":1}})", "metadata.k"},
      {R"({"name":"a","description":")" + std::string(kMaxDescription + 1, 'x') + "\"}",
       "description"},
      {R"({"name":"a","members":{}})", "members"},
      {R"({"name":"a","members":[{"role":"owner"}]})", "members[0].subject"},
      {R"({"name":"a","members":[{"subject":"x","role":"king"}]})", "members[0].role"},
      {R"({"name":"a","agents":[""]})", "agents[0]"}};
  for (const auto& [body, param] : creations) {
    const http::Response response = call("POST", "/api/workstreams", body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(param_of(response), param) << response.body;
  }
  const std::vector<Refused> changes = {{R"({"name":"b"})", "name"},
                                        {R"({"members":[]})", "members"},
                                        {R"({"archived":"yes"})", "archived"},
                                        {R"({"agents":"x"})", "agents"}};
  for (const auto& [body, param] : changes)
    EXPECT_EQ(param_of(call("POST", "/api/workstreams/launch", body)), param) << body;
  EXPECT_EQ(param_of(call("PUT", member_path(member_), R"({"role":"king"})")), "role");
  const std::vector<std::pair<http::Query, std::string>> lists = {
      {{{"order", "up"}}, "order"},
      {{{"limit", "0"}}, "limit"},
      {{{"include_archived", "1"}}, "include_archived"},
      {{{"after", "never"}}, "after"},
      {{{"page", "2"}}, "page"}};
  for (const auto& [query, param] : lists) {
    const http::Response response = call("GET", "/api/workstreams", "", query);
    EXPECT_EQ(response.status, 400) << param;
    EXPECT_EQ(param_of(response), param) << response.body;
  }
}

}  // namespace
}  // namespace perdure::facades::admin
