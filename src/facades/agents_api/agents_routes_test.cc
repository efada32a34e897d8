// The routes of saved agents over a store in memory: what is kept, what comes back, what is
// refused.
#include "facades/agents_api/agents_routes.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "base/json.h"
#include "journal/memory/memory_journal.h"

namespace perdure::facades::agents_api {
namespace {

class StoreAnswers final : public IdempotencyStore {
 public:
  explicit StoreAnswers(journal::JournalStore& store) : store_(store) {}
  Task<Result<std::optional<journal::IdempotencyRecord>>> find(journal::IdempotencyScope scope,
                                                               UnixMillis now) override {
    return store_.find_idempotency(std::move(scope), now);
  }

 private:
  journal::JournalStore& store_;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

class AgentRoutesTest : public ::testing::Test {
 protected:
  AgentRoutesTest() { routes_.add_routes(router_); }

  struct Options {
    std::string body;
    http::Query query;
    Headers headers;
  };

  std::future<http::Response> start(std::string method, const std::string& path,
                                    Options options = {}) {
    auto match = router_.match(method, path);
    EXPECT_TRUE(match.route) << path;
    http::Request request;
    request.method = std::move(method);
    request.path = path;
    request.query = std::move(options.query);
    request.body = std::move(options.body);
    for (auto& [name, value] : options.headers) request.headers.add(name, value);
    request.parameters = match.parameters;
    return boost::asio::co_spawn(loop_, match.route->handler(std::move(request)),
                                 boost::asio::use_future);
  }
  http::Response call(std::string method, const std::string& path, Options options = {}) {
    auto future = start(std::move(method), path, std::move(options));
    loop_.restart();
    loop_.run();
    return future.get();
  }
  json::object create(std::string body = R"({"model":"m"})") {
    auto response = call("POST", "/v1/agents", {.body = std::move(body)});
    EXPECT_EQ(response.status, 201) << response.body;
    return body_of(response);
  }
  static json::object body_of(const http::Response& response) {
    return parse_json(response.body)->as_object();
  }
  static json::object error_of(const http::Response& response) {
    return body_of(response).at("error").as_object();
  }
  static std::string path_of(const json::object& agent) {
    return "/v1/agents/" + std::string(agent.at("id").as_string());
  }

  boost::asio::io_context loop_;
  FakeEnv env_;
  journal::MemoryJournal store_{env_};
  StoreAnswers answers_{store_};
  resources::SavedAgents agents_{env_, store_};
  std::string project_ = "default";
  AgentRoutes routes_{agents_, env_, answers_,
                      [this](const http::Request&) { return identity::Caller{{project_}, "dev"}; }};
  http::Router router_;
};

TEST_F(AgentRoutesTest, AnAgentComesBackResolved) {
  json::object agent = create(R"({"model":"m","name":"n","metadata":{"k":"v"},"tools":[
    {"type":"function","name":"f","description":"d","parameters":{ "type":"object"}}]})");
  std::string expected =
      R"({"id":"ID","object":"agent","created_at":1800000000,"updated_at":1800000000,)"
      R"("version":1,"name":"n","model":"m","instructions":null,"tools":[{"type":"function",)"
      R"("name":"f","description":"d","parameters":{ "type":"object"},"async":false,)"
      R"("defer_loading":false}],"reasoning":{"effort":null,"summary":null},"text":{"format":)"
      R"({"type":"text"},"verbosity":"medium"},"service_tier":"auto","multi_agent":{"enabled":)"
      R"(false,"max_concurrent_subagents":null},"metadata":{"k":"v"}})";
  expected.replace(expected.find("ID"), 2, agent.at("id").as_string());
  EXPECT_EQ(call("GET", path_of(agent)).body, expected);
}

TEST_F(AgentRoutesTest, AnUpdateReplacesWhatItNamesAndKeepsTheRest) {
  json::object agent = create(R"({"model":"m","name":"n","instructions":"i","metadata":{"a":"1"},
    "text":{"verbosity":"low"},"reasoning":{"effort":"low"}})");
  env_.advance(2000);
  auto updated = call("POST", path_of(agent),
                      {.body = R"({"instructions":null,"reasoning":{"summary":"auto"}})"});
  ASSERT_EQ(updated.status, 200) << updated.body;
  json::object now = body_of(updated);
  EXPECT_EQ(now.at("version").to_number<int>(), 2);
  EXPECT_EQ(now.at("created_at"), agent.at("created_at"));
  EXPECT_EQ(now.at("updated_at").to_number<int>(), 1'800'000'002);
  EXPECT_TRUE(now.at("instructions").is_null());
  EXPECT_TRUE(now.at("reasoning").at("effort").is_null()) << "an object is replaced whole";
  EXPECT_EQ(now.at("reasoning").at("summary"), "auto");
  for (const char* kept : {"model", "name", "metadata", "text", "tools"})
    EXPECT_EQ(now.at(kept), agent.at(kept)) << kept;

  now = body_of(call("POST", path_of(agent), {.body = R"({"metadata":null,"name":null})"}));
  EXPECT_TRUE(now.at("metadata").as_object().empty());
  EXPECT_TRUE(now.at("name").is_null());
  now = body_of(call("POST", path_of(agent)));
  EXPECT_EQ(now.at("version").to_number<int>(), 4) << "an empty update is one too";
}

TEST_F(AgentRoutesTest, ARefusedWriteNamesTheMemberAndWritesNothing) {
  json::object agent = create();
  struct Case {
    const char* body;
    const char* param;
  };
  for (const Case& refused :
       {Case{R"({"model":null})", "model"}, Case{R"({"x":1})", "x"},
        Case{R"({"model":"m","id":"y"})", "id"}, Case{R"({"model":"m","name":1})", "name"},
        Case{R"({"model":"m","metadata":{"a":1}})", "metadata.a"},
        Case{R"({"model":"m","tools":[{"type":"function","name":"a b"}]})", "tools[0].name"},
        Case{R"({"model":"m","tools":[{"type":"web_search"}]})", "tools[0].type"},
        Case{R"({"model":"m","multi_agent":{"enabled":true}})", "multi_agent.enabled"},
        Case{R"({"model":"m","experimental":null})", "experimental"},
        Case{R"({"model":"m","experimental":{"time_awareness":1}})",
             "experimental.time_awareness"}}) {
    for (const std::string& path : {std::string("/v1/agents"), path_of(agent)}) {
      auto answer = call("POST", path, {.body = refused.body});
      EXPECT_EQ(answer.status, 400) << refused.body;
      EXPECT_EQ(error_of(answer).at("param"), refused.param) << path << refused.body;
    }
  }
  EXPECT_EQ(error_of(call("POST", "/v1/agents", {.body = "{}"})).at("message"),
            "Missing required parameter: 'model'.");
  std::string name(129, 'x');
  EXPECT_EQ(call("POST", path_of(agent), {.body = R"({"name":")" + name + "\"}"}).status, 400);
  name.pop_back();
  EXPECT_EQ(call("POST", path_of(agent), {.body = R"({"name":")" + name + "\"}"}).status, 200);
  EXPECT_EQ(body_of(call("GET", "/v1/agents")).at("data").as_array().size(), 1u);
  EXPECT_EQ(body_of(call("GET", path_of(agent))).at("version").to_number<int>(), 2);
}

TEST_F(AgentRoutesTest, UpdatesAtOnceAllCount) {
  json::object agent = create();
  std::vector<std::future<http::Response>> answers;
  for (const char* body : {R"({"name":"n"})", R"({"instructions":"i"})", R"({"model":"other"})"})
    answers.push_back(start("POST", path_of(agent), {.body = body}));
  loop_.restart();
  loop_.run();
  for (auto& answer : answers) EXPECT_EQ(answer.get().status, 200);
  json::object now = body_of(call("GET", path_of(agent)));
  EXPECT_EQ(now.at("name"), "n");
  EXPECT_EQ(now.at("instructions"), "i");
  EXPECT_EQ(now.at("model"), "other");
  EXPECT_EQ(now.at("version").to_number<int>(), 4);
}

TEST_F(AgentRoutesTest, AnUpdateOfAnotherVersionThanDemandedIsAConflict) {
  json::object agent = create();
  auto update = [&](const std::string& version) {
    return call("POST", path_of(agent), {.body = "{}", .headers = {{"If-Match", version}}});
  };
  EXPECT_EQ(update("1").status, 200);
  auto refused = update("1");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(error_of(refused).at("param"), "If-Match");
  EXPECT_EQ(update("\"2\"").status, 200);
  EXPECT_EQ(update("*").status, 200);
  for (const char* bad : {"", "x", "0", "-1", "1,2", "W/\"1\"", "99999999999999999999"})
    EXPECT_EQ(update(bad).status, 400) << bad;
}

TEST_F(AgentRoutesTest, ARepeatedRequestIsAnsweredAsBefore) {
  Headers key{{"Idempotency-Key", "k"}};
  auto create = [&](std::string body) {
    return call("POST", "/v1/agents", {.body = std::move(body), .headers = key});
  };
  auto first = create(R"({"model":"m"})");
  ASSERT_EQ(first.status, 201);
  std::string path = path_of(body_of(first));
  auto update = [&](std::string body) {
    return call("POST", path, {.body = std::move(body), .headers = key});
  };
  auto updated = update(R"({"name":"n"})");
  ASSERT_EQ(updated.status, 200) << "an update's keys are its own";
  ASSERT_EQ(call("POST", path, {.body = R"({"name":"later"})"}).status, 200);

  EXPECT_EQ(create(R"({ "model" : "m" })").body, first.body) << "the first version, not the newest";
  EXPECT_EQ(update(R"({"name":"n"})").body, updated.body);
  EXPECT_EQ(create(R"({"model":"other"})").status, 409);
  EXPECT_EQ(body_of(call("GET", path)).at("version").to_number<int>(), 3);
  EXPECT_EQ(body_of(call("GET", "/v1/agents")).at("data").as_array().size(), 1u);
  ASSERT_EQ(call("DELETE", path).status, 200);
  EXPECT_EQ(create(R"({"model":"m"})").status, 409);
}

TEST_F(AgentRoutesTest, VersionsAreListedAndRead) {
  json::object agent = create();
  std::string path = path_of(agent);
  for (const char* name : {"two", "three"})
    call("POST", path, {.body = R"({"name":")" + std::string(name) + "\"}"});
  EXPECT_EQ(body_of(call("GET", path + "/versions/1")), agent);
  EXPECT_EQ(body_of(call("GET", path + "/versions/2")).at("name"), "two");
  json::object page = body_of(call("GET", path + "/versions", {.query = {{"limit", "2"}}}));
  EXPECT_EQ(page.at("data").as_array().size(), 2u);
  EXPECT_EQ(page.at("first_id"), "3");
  EXPECT_EQ(page.at("last_id"), "2");
  EXPECT_TRUE(page.at("has_more").as_bool());
  page = body_of(call("GET", path + "/versions", {.query = {{"after", "2"}}}));
  EXPECT_EQ(page.at("data").at(0), agent);
  EXPECT_FALSE(page.at("has_more").as_bool());
  for (const char* bad : {"/versions/0", "/versions/4", "/versions/01", "/versions/x"})
    EXPECT_EQ(call("GET", path + bad).status, 404) << bad;
  for (const char* bad : {"4", "0", "x", "", "01"})
    EXPECT_EQ(call("GET", path + "/versions", {.query = {{"after", bad}}}).status, 404) << bad;
}

TEST_F(AgentRoutesTest, ADeletedAgentIsNotFoundAndMayBeDeletedAgain) {
  json::object agent = create();
  std::string path = path_of(agent);
  auto deleted = call("DELETE", path);
  EXPECT_EQ(deleted.status, 200);
  EXPECT_EQ(body_of(deleted).at("object"), "agent.deleted");
  EXPECT_EQ(call("DELETE", path).body, deleted.body);
  for (const char* rest : {"", "/versions", "/versions/1"})
    EXPECT_EQ(call("GET", path + rest).status, 404) << rest;
  EXPECT_EQ(call("POST", path, {.body = "{}"}).status, 404);
  EXPECT_TRUE(body_of(call("GET", "/v1/agents")).at("data").as_array().empty());
}

TEST_F(AgentRoutesTest, AnotherProjectSeesNothing) {
  std::string path = path_of(create());
  project_ = "other";
  for (const char* rest : {"", "/versions", "/versions/1"})
    EXPECT_EQ(call("GET", path + rest).status, 404) << rest;
  EXPECT_EQ(call("POST", path, {.body = "{}"}).status, 404);
  EXPECT_EQ(call("DELETE", path).status, 404);
  EXPECT_TRUE(body_of(call("GET", "/v1/agents")).at("data").as_array().empty());
  project_ = "default";
  EXPECT_EQ(call("GET", path).status, 200);
}

}  // namespace
}  // namespace perdure::facades::agents_api
