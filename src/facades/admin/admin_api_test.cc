#include "facades/admin/admin_api.h"

#include "facades/admin/api_test_support.h"
#include "facades/admin/models_api.h"
#include "facades/admin/openapi.h"

namespace perdure::facades::admin {
namespace {

using http::Request;
using http::Response;

class FakeStatus final : public ServerStatus {
 public:
  Task<std::vector<Obstacle>> obstacles() override { co_return found; }
  Numbers numbers() override {
    return {.version = "1.2.3", .store = {.commits = 7}, .pools = pools()};
  }
  Capacity capacity() override {
    models::Resolved big{.pools = {{&pool, models::Price{}}, {&other, std::nullopt}},
                         .upstream = "big-1",
                         .context_window = 8192};
    models::Resolved unknown{
        .pools = {{&other, models::Price{2'500'000, 250'000, 3'125'000, 10'000'000}}}};
    return {{{"big", big}}, unknown, pools()};
  }
  std::vector<models::PoolStatus> pools() {
    models::PoolStatus status{.entry = &pool, .state = "open", .breaker = "open"};
    status.in_flight = 3;
    status.last_error_code = "request_timeout";
    status.last_error = "too late";
    return {status};
  }
  models::PoolEntry pool{.name = "ptu",
                         .provider = "azure",
                         .upstream = "deployed",
                         .pool_class = models::PoolClass::kReserved,
                         .context_window = 4096,
                         .max_in_flight = 20,
                         .units = 50,
                         .price_per_hour = 1'000'000'000};
  models::PoolEntry other{.name = "paid", .provider = "paid"};
  std::vector<Obstacle> found;
};

class AdminApiTest : public ApiTest {
 protected:
  AdminApiTest() {
    api_.add_routes(router_);
    api_.describe(router_);
  }

  FakeStatus status_;
  identity::Caller caller_ = operator_;
  AdminApi api_{{.status = status_,
                 .keys = keys_,
                 .caller_of = [this](const Request&) { return caller_; },
                 .version = "1.2.3"}};
};

TEST_F(AdminApiTest, HealthIsOpenAndAlwaysWell) {
  status_.found = {{"store", "gone"}};
  EXPECT_EQ(call("GET", "/healthz").status, 200);
  EXPECT_TRUE(router_.match("GET", "/healthz").route->open);
  EXPECT_TRUE(router_.match("GET", "/readyz").route->open);
  EXPECT_TRUE(router_.match("GET", "/openapi.json").route->open);
  EXPECT_FALSE(router_.match("GET", "/metrics").route->open);
  EXPECT_TRUE(router_.match("GET", "/healthz").route->any_host);
  EXPECT_TRUE(router_.match("GET", "/readyz").route->any_host);
  EXPECT_FALSE(router_.match("GET", "/openapi.json").route->any_host);
  EXPECT_FALSE(router_.match("GET", "/api/keys").route->open);
}

TEST_F(AdminApiTest, ReadinessSaysWhyNot) {
  EXPECT_EQ(call("GET", "/readyz").status, 200);
  status_.found = {{"recovering", "Still reading."}};
  const Response response = call("GET", "/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(response.headers.get("Retry-After"));
  EXPECT_EQ(
      response.body,
      R"({"status":"not_ready","reasons":[{"reason":"recovering","message":"Still reading."}]})");
}

TEST_F(AdminApiTest, MetricsCarryTheNumbers) {
  const Response response = call("GET", "/metrics");
  EXPECT_NE(response.body.find("\nperdure_journal_commits_total 7\n"), std::string::npos);
  EXPECT_NE(response.body.find("\nperdure_ready 1\n"), std::string::npos);
  EXPECT_TRUE(response.headers.get("Content-Type")->starts_with("text/plain; version=0.0.4"));
  status_.found = {{"draining", ""}};
  EXPECT_NE(call("GET", "/metrics").body.find("\nperdure_ready 0\n"), std::string::npos);
}

TEST_F(AdminApiTest, TheOperatorSeesHowEveryPoolIs) {
  const Response shown = call("GET", "/api/models");
  ASSERT_EQ(shown.status, 200);
  EXPECT_NE(
      shown.body.find(
          R"("models":[{"name":"big","max_output_tokens":null,"pools":[)"
          R"({"name":"ptu","provider":"azure","upstream":"deployed","context_window":4096,)"
          R"("price":{"input":"0.00","cached_input":"0.00","cache_write":"0.00","output":"0.00"}},)"
          R"({"name":"paid","provider":"paid","upstream":"big-1","context_window":8192,)"
          R"("price":null}]}],"unknown_models":{"pools":[)"
          R"({"name":"paid","provider":"paid","upstream":null,"context_window":null,"price":)"
          R"({"input":"2.50","cached_input":"0.25","cache_write":"3.125","output":"10.00"}}]})"),
      std::string::npos)
      << shown.body;
  const json::object body = parsed(shown);
  const json::object& pool = get_array(body, "pools").front().get_object();
  EXPECT_EQ(get_string(pool, "provider"), "azure");
  EXPECT_EQ(get_string(pool, "state"), "open");
  EXPECT_EQ(get_int(pool, "in_flight"), 3);
  EXPECT_EQ(get_int(pool, "units"), 50);
  EXPECT_EQ(get_string(pool, "price_per_hour"), "1.00");
  EXPECT_EQ(get_string(pool, "cost_per_day"), "1200.00");
  EXPECT_EQ(get_int(pool, "max_in_flight"), 20);
  EXPECT_TRUE(find(pool, "tokens_per_minute")->is_null()) << "no limit";
  EXPECT_EQ(get_string(get_object(pool, "last_error"), "message"), "too late");
  const Response metrics = call("GET", "/metrics");
  EXPECT_NE(metrics.body.find("perdure_pool_in_flight{pool=\"ptu\"} 3\n"), std::string::npos);
  EXPECT_NE(metrics.body.find("perdure_pool_breaker_open{pool=\"ptu\"} 1\n"), std::string::npos);
  caller_.operator_access = false;
  EXPECT_EQ(call("GET", "/api/models").status, 403);
}

TEST_F(AdminApiTest, AKeyIsShownOnceAndRevoked) {
  const Response made = call("POST", "/api/keys", R"({"project":"team-a","name":"ci"})");
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.headers.get("Cache-Control"), "no-store");
  const std::string key(get_string(parsed(made), "key"));
  const std::string id(get_string(parsed(made), "id"));
  EXPECT_TRUE(await(keys_.verify(key)));

  const Response listed = call("GET", "/api/keys");
  EXPECT_NE(listed.body.find(id), std::string::npos);
  EXPECT_EQ(listed.body.find(key.substr(key.rfind('_') + 1, 20)), std::string::npos);
  EXPECT_EQ(
      get_array(parsed(call("GET", "/api/keys", "", {{"project", "default"}})), "data").size(), 0u);

  const Response revoked = call("DELETE", "/api/keys/" + id);
  EXPECT_EQ(revoked.status, 200);
  EXPECT_NE(get_int(parsed(revoked), "revoked_at"), 0);
  EXPECT_FALSE(await(keys_.verify(key)));
  EXPECT_EQ(call("DELETE", "/api/keys/key_nobody").status, 404);
}

TEST_F(AdminApiTest, BadRequestsAreRefusedAndLeaveNothing) {
  for (const char* body : {"[]", "{", R"({"project":1})", R"({"projekt":"a"})",
                           R"({"project":"A"})", R"({"name":"a","name":"b"})"}) {
    const Response response = call("POST", "/api/keys", body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(error_code(response), "invalid_argument") << response.body;
  }
  EXPECT_EQ(get_array(parsed(call("GET", "/api/keys")), "data").size(), 0u);
  for (const char* limit : {"0", "x", "-1", "1001", ""})
    EXPECT_EQ(call("GET", "/api/keys", "", {{"limit", limit}}).status, 400) << limit;
  EXPECT_EQ(call("GET", "/api/keys", "", {{"limit", "1"}, {"limit", "2"}}).status, 400);
  EXPECT_EQ(call("POST", "/api/projects", "{}").status, 400);
}

TEST_F(AdminApiTest, ProjectsCanBeMadeAndListed) {
  EXPECT_EQ(call("POST", "/api/projects", R"({"name":"team-b"})").status, 201);
  EXPECT_EQ(call("POST", "/api/projects", R"({"name":"team-b"})").status, 409);
  const Response listed = call("GET", "/api/projects");
  EXPECT_EQ(get_array(parsed(listed), "data").size(), 2u) << listed.body;
}

TEST_F(AdminApiTest, EveryRouteOfTheApiIsForTheOperatorOnly) {
  caller_.operator_access = false;
  int checked = 0;
  for (const http::Route& route : router_.routes()) {
    if (!route.path.starts_with("/api/")) continue;
    std::string path = route.path;
    if (const auto brace = path.find('{'); brace != std::string::npos) path.replace(brace, 99, "x");
    EXPECT_EQ(call(route.method, path, "{}").status, 403) << route.method << " " << route.path;
    ++checked;
  }
  EXPECT_EQ(checked, 6);
}

TEST_F(AdminApiTest, TheDocumentHasEveryRouteAndNoOther) {
  const json::object document = parsed(call("GET", "/openapi.json"));
  EXPECT_EQ(get_string(get_object(document, "info"), "version"), "1.2.3");
  const json::object& paths = get_object(document, "paths");
  std::size_t operations = 0;
  for (const auto& path : paths) operations += path.value().as_object().size();
  EXPECT_EQ(operations, router_.routes().size());
  const json::object& revoke = get_object(get_object(paths, "/api/keys/{key_id}"), "delete");
  EXPECT_EQ(get_string(revoke, "operationId"), "delete_api_keys_key_id");
  const json::array& parameters = get_array(revoke, "parameters");
  ASSERT_EQ(parameters.size(), 1u);
  EXPECT_EQ(get_string(parameters[0].as_object(), "name"), "key_id");
}

TEST(ModelsApi, ListsAndFindsUnderBothPrefixes) {
  ModelsApi api({{"gpt-5", "openai"}, {"a/b", "vllm"}}, 5000,
                [](const Error& error) { return http::json_response(404, error.reason); });
  http::Router router;
  api.add_routes(router);
  boost::asio::io_context loop;
  const auto get = [&](const std::string& path) {
    const auto match = router.match("GET", path);
    auto future =
        boost::asio::co_spawn(loop, match.route->handler(Request{.parameters = match.parameters}),
                              boost::asio::use_future);
    loop.restart();
    loop.run();
    return future.get();
  };
  EXPECT_EQ(
      get("/openai/v1/models").body,
      R"({"object":"list","data":[{"id":"gpt-5","object":"model","created":5,)"
      R"("owned_by":"openai"},{"id":"a/b","object":"model","created":5,"owned_by":"vllm"}]})");
  EXPECT_EQ(get("/v1/models/a%2Fb").body,
            R"({"id":"a/b","object":"model","created":5,"owned_by":"vllm"})");
  const Response missing = get("/v1/models/gpt-6");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, "model_not_found");
}

}  // namespace
}  // namespace perdure::facades::admin
