// Who may stop and lift what, and what is told. What a stop does to sessions is the engine's test.
#include "facades/admin/stops_api.h"

#include "engine/absent_engine.h"
#include "facades/admin/api_test_support.h"

namespace perdure::facades::admin {
namespace {

using async::Task;

/// Has one session, in the project alpha, and stops by the list alone.
class FakeEngine final : public engine::AbsentEngine {
 public:
  explicit FakeEngine(policy::Stops& stops) : stops_(stops) {}
  Task<Result<engine::Stopped>> stop(policy::StopOrder order) override {
    bool session = order.scope == policy::StopScope::kSession;
    if (session && (order.project.value != "alpha" || order.target != "sess_1"))
      co_return fail(ErrorCode::kNotFound, "no such session");
    CO_TRY(stop, co_await stops_.add(std::move(order)));
    co_return engine::Stopped{stop, 3};
  }

 private:
  policy::Stops& stops_;
};

class StopsApiTest : public ApiTest {
 protected:
  StopsApiTest() {
    await(keys_.create_project("alpha")).value();
    await(keys_.create_project("beta")).value();
    api_.add_routes(router_);
  }
  std::size_t listed(http::Query query = {}) {
    return get_array(parsed(call("GET", "/api/stops", "", std::move(query))), "data").size();
  }
  std::string made(std::string body) {
    http::Response response = call("POST", "/api/stops", std::move(body));
    EXPECT_EQ(response.status, 201) << response.body;
    return std::string(get_string(parsed(response), "id"));
  }

  const std::string session_ = R"({"scope":"session","id":"sess_1","reason":"it runs wild"})";
  policy::Stops stops_{env_, loop_.get_executor(), store_};
  FakeEngine engine_{stops_};
  identity::Caller caller_ = alpha_;
  StopsApi api_{{engine_, stops_, keys_, [this](const http::Request&) { return caller_; }}};
};

TEST_F(StopsApiTest, AStopSaysWhoWhenAndWhyUntilItIsLifted) {
  const http::Response response = call("POST", "/api/stops", session_);
  ASSERT_EQ(response.status, 201) << response.body;
  json::object stop = parsed(response);
  EXPECT_EQ(get_string(stop, "project"), "alpha");
  EXPECT_EQ(get_string(stop, "scope"), "session");
  EXPECT_EQ(get_string(stop, "target"), "sess_1");
  EXPECT_EQ(get_string(stop, "reason"), "it runs wild");
  EXPECT_EQ(get_string(stop, "created_by"), "key_a");
  EXPECT_EQ(get_int(stop, "created_at"), env_.now() / 1000);
  EXPECT_EQ(get_int(stop, "calls_cancelled"), 3);
  EXPECT_TRUE(stop.at("lifted_at").is_null());
  const std::string id(get_string(stop, "id"));
  EXPECT_EQ(made(session_), id) << "stopping twice is one stop";
  EXPECT_EQ(listed(), 1u);

  env_.advance(5000);
  const http::Response lifted = call("DELETE", "/api/stops/" + id);
  EXPECT_EQ(lifted.status, 200);
  EXPECT_EQ(get_int(parsed(lifted), "lifted_at"), env_.now() / 1000);
  EXPECT_EQ(get_string(parsed(lifted), "lifted_by"), "key_a");
  EXPECT_EQ(call("DELETE", "/api/stops/" + id).body, lifted.body);
  EXPECT_EQ(listed(), 0u);
  EXPECT_EQ(listed({{"include_lifted", "true"}}), 1u);
}

TEST_F(StopsApiTest, AnotherProjectsThingsAreNotThere) {
  const std::string id = made(session_);
  caller_ = beta_;
  EXPECT_EQ(listed(), 0u);
  const http::Response foreign = call("DELETE", "/api/stops/" + id);
  EXPECT_EQ(foreign.status, 404);
  EXPECT_EQ(call("POST", "/api/stops", session_).status, 404);
  for (const char* body : {R"({"scope":"project","id":"alpha","reason":"r"})",
                           R"({"scope":"project","id":"nobody","reason":"r"})",
                           R"({"scope":"agent","id":"a","reason":"r","project":"alpha"})"}) {
    const http::Response refused = call("POST", "/api/stops", body);
    EXPECT_EQ(refused.status, 403) << body;
    EXPECT_EQ(param_of(refused), "project");
  }
  EXPECT_EQ(call("GET", "/api/stops", "", {{"project", "alpha"}}).status, 403);
  made(R"({"scope":"project","id":"beta","reason":"r"})");
  EXPECT_EQ(stops_.count(), 2u);
}

TEST_F(StopsApiTest, TheOperatorReachesEveryProjectAndHasTheLastWord) {
  const std::string own = made(session_);
  caller_ = operator_;
  const std::string whole = made(R"({"scope":"project","id":"alpha","reason":"r"})");
  made(R"({"scope":"workstream","id":"launch","reason":"r","project":"beta"})");
  EXPECT_EQ(listed(), 3u);
  EXPECT_EQ(listed({{"project", "alpha"}}), 2u);
  EXPECT_EQ(call("POST", "/api/stops", R"({"scope":"project","id":"alfa","reason":"r"})").status,
            404);
  EXPECT_EQ(call("DELETE", "/api/stops/" + own).status, 200);
  caller_ = alpha_;
  EXPECT_EQ(call("DELETE", "/api/stops/" + whole).status, 403);
  EXPECT_EQ(listed(), 1u);
}

TEST_F(StopsApiTest, ABadRequestNamesItsMemberAndStopsNothing) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"id":"sess_1","reason":"r"})", "scope"},
      {R"({"scope":"planet","id":"sess_1","reason":"r"})", "scope"},
      {R"({"scope":"session","reason":"r"})", "id"},
      {R"({"scope":"agent","id":"a b","reason":"r"})", "id"},
      {R"({"scope":"session","id":"sess_1"})", "reason"},
      {R"({"scope":"session","id":"sess_1","reason":""})", "reason"},
      {R"({"scope":"session","id":"sess_1","reason":"a\nb"})", "reason"},
      {R"({"scope":"session","id":"sess_1","reason":"r","colour":"red"})", "colour"},
      {R"({"scope":"project","id":"alpha","project":"beta","reason":"r"})", "project"}};
  for (const auto& [body, param] : cases) {
    const http::Response refused = call("POST", "/api/stops", body);
    EXPECT_EQ(refused.status, 400) << body;
    EXPECT_EQ(param_of(refused), param) << body;
  }
  EXPECT_EQ(call("GET", "/api/stops", "", {{"include_lifted", "yes"}}).status, 400);
  EXPECT_EQ(call("DELETE", "/api/stops/stop_nobody").status, 404);
  EXPECT_EQ(stops_.count(), 0u);
}

}  // namespace
}  // namespace perdure::facades::admin
