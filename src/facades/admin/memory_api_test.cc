// The shapes of memory over HTTP, what is refused, and who sees which store.
#include "facades/admin/memory_api.h"

#include "facades/admin/api_test_support.h"

namespace perdure::facades::admin {
namespace {

class MemoryApiTest : public ApiTest {
 protected:
  MemoryApiTest() {
    api_.add_routes(router_);
    EXPECT_EQ(post("", R"({"name":"main"})").status, 201);
  }
  http::Response post(std::string rest, std::string body) {
    return call("POST", "/api/memory/stores" + rest, std::move(body));
  }
  http::Response get(std::string rest, http::Query query = {}) {
    return call("GET", "/api/memory/stores" + rest, {}, std::move(query));
  }
  std::string add(std::string body) {
    const auto added = post("/main/records", std::move(body));
    EXPECT_EQ(added.status, 201) << added.body;
    return std::string(get_string(parsed(added), "id"));
  }
  /// Its receipt stays here: a future would make an empty one.
  async::Task<bool> close_workstream() {
    resources::Workstream closed{.name = "closed", .metadata = {}, .agents = {}, .members = {}};
    closed.members = {{"key_owner", resources::Role::kOwner},
                      {"key_reader", resources::Role::kViewer}};
    const auto made = co_await workstreams_.create(alpha_.project, std::move(closed));
    co_return made.has_value();
  }
  json::array found(std::string body) {
    const auto answer = post("/main/search", std::move(body));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return get_array(parsed(answer), "data");
  }

  identity::Caller caller_ = alpha_;
  resources::Workstreams workstreams_{env_, store_};
  memory::Memories memories_{env_, loop_.get_executor(), store_, "secret", nullptr};
  MemoryApi api_{{.memories = memories_,
                  .workstreams = workstreams_,
                  .keys = keys_,
                  .caller_of = [this](const http::Request&) { return caller_; }}};
};

TEST_F(MemoryApiTest, WhatWasRememberedIsShownWithAllOfIt) {
  const std::string session = "sess_" + std::string(26, 'a');
  const std::string id =
      add(R"({"text":"Ann likes tea","kind":"preference","actor":"ann","metadata":{"team":"blue"},)"
          R"("evidence":[{"session":")" +
          session + R"(","first":3}]})");
  const auto shown = parsed(get("/main/records/" + id));
  EXPECT_EQ(get_string(shown, "namespace"), "/users/ann/");
  EXPECT_EQ(get_string(shown, "subject"), "ann");
  EXPECT_EQ(get_string(shown, "trust"), "user");
  EXPECT_EQ(perdure::serialize(*find(shown, "evidence")),
            R"([{"session":")" + session + R"(","first":3,"last":3,"trust":"user"}])");
  EXPECT_EQ(get_array(parsed(get("/main/standing", {{"namespace", "/users/ann/"}})), "data").size(),
            1U);
}

TEST_F(MemoryApiTest, FindsAndExplains) {
  post("/main/records", R"({"records":[{"text":"Ann likes tea"},{"text":"Bob likes coffee"}]})");
  const auto hits = found(R"({"query":"Who likes tea?","explain":true})");
  ASSERT_EQ(hits.size(), 2U);
  const json::object& first = hits[0].as_object();
  EXPECT_EQ(get_string(first, "text"), "Ann likes tea");
  const auto& terms = get_array(get_object(first, "explain"), "terms");
  ASSERT_EQ(terms.size(), 2U);
  EXPECT_EQ(get_string(terms[0].as_object(), "term"), "tea");
  EXPECT_EQ(get_string(terms[0].as_object(), "source"), get_string(first, "id"));
}

TEST_F(MemoryApiTest, ListsInPages) {
  for (int at = 0; at < 3; ++at) {
    env_.advance(1000);
    add(R"({"text":"thing )" + std::to_string(at) + R"("})");
  }
  const auto first = parsed(get("/main/records", {{"limit", "2"}}));
  ASSERT_EQ(get_array(first, "data").size(), 2U);
  EXPECT_TRUE(get_bool(first, "has_more"));
  const auto rest = parsed(
      get("/main/records", {{"limit", "2"}, {"after", std::string(get_string(first, "next"))}}));
  ASSERT_EQ(get_array(rest, "data").size(), 1U);
  EXPECT_EQ(get_string(get_array(rest, "data")[0].as_object(), "text"), "thing 0");
  EXPECT_EQ(param_of(get("/main/records", {{"after", "mem_never"}})), "after");
}

TEST_F(MemoryApiTest, ErasesWithAReceipt) {
  const std::string id = add(R"({"text":"swordfish"})");
  const auto erased = post("/main/erasures", R"({"records":[")" + id + R"("]})");
  ASSERT_EQ(erased.status, 200) << erased.body;
  EXPECT_EQ(get_int(parsed(erased), "erased"), 1);
  EXPECT_FALSE(erased.body.contains("swordfish"));
  EXPECT_EQ(get("/main/records/" + id).status, 404);
  const auto receipt = get("/main/erasures/" + std::string(get_string(parsed(erased), "id")));
  EXPECT_EQ(receipt.body, erased.body);
  EXPECT_TRUE(get_bool(parsed(receipt), "genuine"));
  EXPECT_EQ(param_of(post("/main/erasures", "{}")), "records") << "nothing is not everything";
  EXPECT_EQ(call("DELETE", "/api/memory/stores/main").status, 200);
}

TEST_F(MemoryApiTest, RefusesWhatIsWrong) {
  const auto refused = [&](std::string body) { return param_of(post("/main/records", body)); };
  EXPECT_EQ(refused(R"({"kind":"fact"})"), "text");
  EXPECT_EQ(refused(R"({"text":"x","kind":"song"})"), "kind");
  EXPECT_EQ(refused(R"({"text":"x","colour":"red"})"), "colour");
  EXPECT_EQ(refused(R"({"text":"x","namespace":"/users/{actor}/"})"), "actor");
  EXPECT_EQ(refused(R"({"text":"x","trust":"operator"})"), "trust");
  EXPECT_EQ(refused(R"({"text":"x","kind":"instruction","trust":"tool"})"), "kind");
  EXPECT_EQ(refused(R"({"records":[]})"), "records");
  EXPECT_EQ(refused(R"({"text":"x","valid_from":-1})"), "valid_from");
  EXPECT_EQ(param_of(post("/main/search", R"({"query":"x","limit":1000})")), "limit");
  EXPECT_EQ(param_of(post("", R"({"name":"x","language":"elvish"})")), "language");
  EXPECT_EQ(param_of(post("", R"({"name":"main"})")), "name");
  EXPECT_EQ(get_array(parsed(get("/main/records")), "data").size(), 0U);
}

TEST_F(MemoryApiTest, ProjectsAndWorkstreamsAreWalls) {
  const std::string id = add(R"({"text":"swordfish"})");
  caller_ = beta_;
  EXPECT_EQ(get("/main").status, 404);
  EXPECT_EQ(get("/main/records/" + id).status, 404);
  EXPECT_EQ(post("/main/search", R"({"query":"swordfish"})").status, 404);
  EXPECT_EQ(get("", {{"project", "alpha"}}).status, 404);
  caller_ = operator_;
  caller_.project = alpha_.project;
  EXPECT_EQ(get("/main").status, 200);
  ASSERT_TRUE(await(close_workstream()));
  EXPECT_EQ(post("", R"({"name":"inner","workstream":"closed"})").status, 201);
  caller_ = alpha_;
  EXPECT_EQ(get("/inner").status, 404);
  EXPECT_FALSE(get("").body.contains("inner"));
  EXPECT_EQ(param_of(post("", R"({"name":"other","workstream":"closed"})")), "workstream");
  caller_.principal = "key_reader";
  EXPECT_EQ(get("/inner").status, 200);
  EXPECT_EQ(post("/inner/records", R"({"text":"x"})").status, 403);
  caller_.principal = "key_owner";
  EXPECT_EQ(post("/inner/records", R"({"text":"x"})").status, 201);
}

}  // namespace
}  // namespace perdure::facades::admin
