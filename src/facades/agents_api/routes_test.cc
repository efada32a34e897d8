// The operations over an engine that remembers what it was asked: what reaches it, what does not,
// and what the client is told.
#include "facades/agents_api/routes.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "base/json.h"
#include "engine/absent_engine.h"
#include "journal/memory/memory_journal.h"

namespace perdure::facades::agents_api {
namespace {

using engine::Listed;
using View = std::shared_ptr<const engine::SessionView>;

class EndedSubscription final : public engine::Subscription {
 public:
  Task<Result<std::optional<std::vector<std::shared_ptr<const engine::SessionEvent>>>>> next()
      override {
    co_return std::nullopt;
  }
  void wake() override {}
};

/// Makes receipts, as only a store can.
class Receipts : public journal::JournalStore {
 public:
  static journal::Committed make() { return receipt(1, 1, 1, 0); }
};

class FakeEngine final : public engine::AbsentEngine {
 public:
  Result<models::Capabilities> capabilities(std::string_view) const override { return can; }
  Result<void> admit_tool_server(std::string_view) const override { return {}; }
  Result<void> priced(std::string_view model) const override {
    if (has_price) return {};
    return fail(ErrorCode::kInvalidArgument, "No price: " + std::string(model) + '.');
  }
  std::vector<std::string> server_tools;
  std::optional<journal::Viewer> last_viewer;
  bool has_price = true;
  models::Capabilities can{.reasoning_summary = true,
                           .verbosity = true,
                           .images = true,
                           .remote_images = true,
                           .service_tier = true,
                           .cache_minutes = 12 * 60};

  Task<Result<engine::Created>> create_session(engine::CreateSession command) override {
    ++creations;
    engine::SessionView view;
    view.key = {command.project, command.id.value_or(SessionId{"sess_" + std::string(26, 'a')})};
    view.agent = std::make_shared<engine::AgentConfig>(command.agent);
    view.metadata = command.metadata;
    view.workstream = command.workstream;
    view.spend_limit = command.spend_limit;
    view.head = 9;
    for (const std::string& tool : command.server_tools)
      if (tool == "unknown") co_return fail(ErrorCode::kInvalidArgument, "No.", "server_tools");
    server_tools = command.server_tools;
    if (find(view.key)) co_return fail(ErrorCode::kConflict, "exists");
    if (command.idempotency)
      if (auto record = command.idempotency(view)) kept.push_back(std::move(*record));
    auto session = std::make_shared<const engine::SessionView>(std::move(view));
    list.push_back(session);
    co_return engine::Created{Receipts::make(), session};
  }
  Task<Result<journal::Committed>> submit(SessionKey key, std::vector<engine::Input> inputs,
                                          engine::Idempotency idempotency) override {
    if (!find(key)) co_return fail(ErrorCode::kNotFound, "no such session");
    ++submissions;
    last_inputs = std::move(inputs);
    if (refuse) co_return std::unexpected(*refuse);
    if (idempotency) kept.push_back(*idempotency);
    co_return Receipts::make();
  }
  Task<Result<engine::Updated>> update_session(SessionKey key,
                                               engine::UpdateSession command) override {
    auto found = std::ranges::find(list, key, [](const View& view) { return view->key; });
    if (found == list.end()) co_return fail(ErrorCode::kNotFound, "no such session");
    if (refuse) co_return std::unexpected(*refuse);
    engine::SessionView after = **found;
    auto agent = std::make_shared<engine::AgentConfig>(*after.agent);
    if (command.changes.model) agent->model = *command.changes.model;
    if (command.changes.service_tier) agent->service_tier = *command.changes.service_tier;
    after.agent = agent;
    if (command.changes.cache_ttl) after.cache_ttl = *command.changes.cache_ttl;
    if (command.changes.metadata) after.metadata = *command.changes.metadata;
    if (command.changes.spend_limit) after.spend_limit = *command.changes.spend_limit;
    CO_TRY_VOID(command.check(after));
    ++updates;
    *found = std::make_shared<const engine::SessionView>(std::move(after));
    if (auto record = command.idempotency(**found)) kept.push_back(std::move(*record));
    co_return engine::Updated{Receipts::make(), *found};
  }
  Task<Result<journal::Committed>> delete_session(SessionKey key) override {
    if (refuse) co_return std::unexpected(*refuse);
    std::erase_if(list, [&](const View& view) { return view->key == key; });
    co_return Receipts::make();
  }
  Task<Result<View>> session(SessionKey key) override {
    if (auto view = find(key)) co_return view;
    co_return fail(ErrorCode::kNotFound, "no such session");
  }
  Task<Result<Listed<View>>> sessions(ProjectId project, engine::SessionFilter filter,
                                      engine::Page page) override {
    Listed<View> out;
    bool started = !page.after;
    for (const View& view : list) {
      if (view->key.project != project) continue;
      if (filter.workstream && view->workstream != filter.workstream) continue;
      last_viewer = filter.viewer;
      if (started && out.data.size() == page.limit) {
        out.has_more = true;
        break;
      }
      if (started) out.data.push_back(view);
      started = started || view->key.session.value == page.after;
    }
    co_return out;
  }
  Task<Result<Listed<engine::ItemView>>> items(SessionKey, std::optional<std::string> turn_id,
                                               engine::Page, bool include_incomplete) override {
    last_turn = turn_id;
    incomplete = include_incomplete;
    if (refuse) co_return std::unexpected(*refuse);
    co_return Listed<engine::ItemView>{};
  }
  Task<Result<Listed<engine::TurnView>>> turns(SessionKey, engine::Page) override {
    co_return Listed<engine::TurnView>{};
  }
  Task<Result<engine::TurnView>> turn(SessionKey, std::string turn_id) override {
    if (turn_id != "turn_1") co_return fail(ErrorCode::kNotFound, "no such turn");
    co_return engine::TurnView{.id = turn_id};
  }
  Task<Result<std::unique_ptr<engine::Subscription>>> subscribe(SessionKey,
                                                                engine::StreamFrom from) override {
    last_from = from;
    co_return std::make_unique<EndedSubscription>();
  }

  View find(const SessionKey& key) const {
    for (const View& view : list)
      if (view->key == key) return view;
    return nullptr;
  }
  void add(std::string id, std::map<std::string, std::string> metadata = {},
           std::string project = "default") {
    engine::SessionView view;
    view.key = {{std::move(project)}, {std::move(id)}};
    view.agent = std::make_shared<engine::AgentConfig>();
    view.metadata = std::move(metadata);
    view.head = 9;
    list.push_back(std::make_shared<const engine::SessionView>(std::move(view)));
  }

  std::vector<View> list;
  std::vector<journal::IdempotencyRecord> kept;
  std::vector<engine::Input> last_inputs;
  std::optional<std::string> last_turn;
  engine::StreamFrom last_from;
  std::optional<Error> refuse;
  bool incomplete = false;
  int creations = 0;
  int submissions = 0;
  int updates = 0;
};

class EngineRecords final : public IdempotencyStore {
 public:
  explicit EngineRecords(FakeEngine& engine) : engine_(engine) {}
  Task<Result<std::optional<journal::IdempotencyRecord>>> find(journal::IdempotencyScope scope,
                                                               UnixMillis) override {
    for (const auto& record : engine_.kept)
      if (record.scope == scope) co_return record;
    co_return std::nullopt;
  }

 private:
  FakeEngine& engine_;
};

const std::string kId = "sess_" + std::string(26, '0');
const std::string kSessions = "/v1/agents/sessions";

class RoutesTest : public ::testing::Test {
 protected:
  RoutesTest() { api_.add_routes(router_); }

  struct Options {
    std::string body;
    http::Query query;
    std::vector<std::pair<std::string, std::string>> headers;
  };

  http::Response call(std::string method, std::string path, Options options = {}) {
    auto match = router_.match(method, path);
    if (!match.route) return {.status = match.allowed.empty() ? 404 : 405};
    http::Request request;
    request.method = std::move(method);
    request.path = path;
    request.query = std::move(options.query);
    request.body = std::move(options.body);
    for (auto& [name, value] : options.headers) request.headers.add(name, value);
    request.parameters = match.parameters;
    auto future = boost::asio::co_spawn(loop_, match.route->handler(std::move(request)),
                                        boost::asio::use_future);
    loop_.restart();
    loop_.run();
    return future.get();
  }

  template <class T>
  static Task<> keep(Task<T> task, std::shared_ptr<std::optional<T>> result) {
    result->emplace(co_await std::move(task));
  }
  template <class T>
  T await(Task<T> task) {
    auto result = std::make_shared<std::optional<T>>();
    boost::asio::co_spawn(loop_, keep(std::move(task), result), boost::asio::detached);
    loop_.restart();
    loop_.run();
    return result->value();
  }
  static resources::AgentDefinition definition(const std::string& model) {
    return {.name = "helper",
            .metadata = {},
            .settings = {{"model", '"' + model + '"'},
                         {"instructions", "\"Be brief.\""},
                         {"text", R"({"verbosity":"high"})"}}};
  }
  std::string save(const std::string& model) {
    return await(agents_.create({"default"}, definition(model)))->agent.id;
  }
  void change(const std::string& id, const std::string& model) {
    auto next = [&](const resources::SavedAgent&) -> Result<resources::AgentDefinition> {
      return definition(model);
    };
    ASSERT_TRUE(await(agents_.update({"default"}, id, next)));
  }
  static std::string with_agent(const std::string& id, const std::string& more = {}) {
    return R"({"environment":{"type":"none"},"input":"hi","agent_id":")" + id + '"' +
           (more.empty() ? more : ',' + more) + '}';
  }
  static json::value model_of(const http::Response& response) {
    return body_of(response).at("agent").as_object().at("model");
  }

  static json::object body_of(const http::Response& response) {
    return parse_json(response.body)->as_object();
  }
  static json::object error_of(const http::Response& response) {
    return body_of(response).at("error").as_object();
  }
  static std::string event_id(std::uint64_t seq, const std::string& session = kId) {
    return local_id("evt", {session}, {seq, 0});
  }

  const std::string create_ =
      R"({"environment":{"type":"none"},"agent":{"model":"m"},"input":"hi"})";
  const std::string create_stream_ =
      R"({"environment":{"type":"none"},"agent":{"model":"m"},"input":"hi","stream":true})";
  const std::string cancel_ = R"({"events":[{"type":"agent.session.input.cancel"}]})";
  const std::vector<std::pair<std::string, std::string>> key_ = {{"Idempotency-Key", "k"}};

  boost::asio::io_context loop_;
  FakeEnv env_;
  FakeEngine engine_;
  EngineRecords records_{engine_};
  journal::MemoryJournal rows_{env_};
  resources::SavedAgents agents_{env_, rows_};
  resources::Workstreams workstreams_{env_, rows_};
  identity::Caller caller_{{"default"}, "dev"};
  AgentsApi api_{engine_, agents_,  workstreams_,
                 env_,    records_, [this](const http::Request&) { return caller_; }};
  http::Router router_;
};

TEST_F(RoutesTest, AnUpdateAnswersWithTheSessionAsItIsNow) {
  engine_.add(kId);
  auto response = call("POST", kSessions + "/" + kId,
                       {.body = R"({"agent":{"model":"m2"},"metadata":{"a":"b"}})"});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(model_of(response), "m2");
  EXPECT_EQ(body_of(response).at("metadata").as_object().at("a"), "b");
  EXPECT_EQ(call("POST", kSessions + "/" + kId).status, 200) << "an empty one too";
}

TEST_F(RoutesTest, AnUpdateOfAnUnknownSessionIs404) {
  EXPECT_EQ(call("POST", kSessions + "/" + kId, {.body = "{}"}).status, 404);
  EXPECT_EQ(call("POST", kSessions + "/nonsense", {.body = "{}"}).status, 404);
}

TEST_F(RoutesTest, ARepeatedUpdateGetsTheFirstAnswer) {
  engine_.add(kId);
  Options first{.body = R"({"agent":{"model":"m2"}})", .headers = key_};
  auto answer = call("POST", kSessions + "/" + kId, first);
  EXPECT_EQ(call("POST", kSessions + "/" + kId, {.body = R"({"agent":{"model":"m3"}})"}).status,
            200);
  auto again = call("POST", kSessions + "/" + kId, first);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.body, answer.body);
  EXPECT_EQ(engine_.updates, 2) << "the repeated one changed nothing";
  EXPECT_EQ(
      call("POST", kSessions + "/" + kId, {.body = R"({"metadata":{}})", .headers = key_}).status,
      409);
}

TEST_F(RoutesTest, AnUpdateThatTheProviderHasNoWordsForNamesTheMember) {
  engine_.add(kId);
  engine_.can = {};
  auto tier = call("POST", kSessions + "/" + kId, {.body = R"({"agent":{"service_tier":"flex"}})"});
  EXPECT_EQ(tier.status, 400);
  EXPECT_EQ(error_of(tier).at("param"), "agent.service_tier");
  EXPECT_EQ(engine_.updates, 0);
  engine_.has_price = false;
  auto limit = call("POST", kSessions + "/" + kId, {.body = R"({"spend_control":{"limit":5}})"});
  EXPECT_EQ(limit.status, 400);
  EXPECT_EQ(error_of(limit).at("param"), "spend_control.limit");
  engine_.has_price = true;
  EXPECT_EQ(
      call("POST", kSessions + "/" + kId, {.body = R"({"spend_control":{"limit":5}})"}).status,
      200);
  engine_.has_price = false;
  auto model = call("POST", kSessions + "/" + kId, {.body = R"({"agent":{"model":"m2"}})"});
  EXPECT_EQ(model.status, 400);
  EXPECT_EQ(error_of(model).at("param"), "agent.model");
}

TEST_F(RoutesTest, BothPrefixesServeTheSame) {
  engine_.add(kId);
  EXPECT_EQ(call("GET", "/v1/agents/sessions/" + kId).status, 200);
  EXPECT_EQ(call("GET", "/openai/v1/agents/sessions/" + kId).status, 200);
  EXPECT_EQ(call("GET", "/v1/agents/sessions/" + kId + "/artifacts").status, 404);
}

TEST_F(RoutesTest, ACreationAnswers201WithTheSession) {
  auto response = call("POST", kSessions, {.body = create_});
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(body_of(response).at("object"), "agent.session");
}

TEST_F(RoutesTest, ARefusedCreationLeavesNothingBehind) {
  auto response = call("POST", kSessions, {.body = "{\"x\":1}", .headers = key_});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(engine_.creations, 0);
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = key_}).status, 201)
      << "the key is still free";
}

TEST_F(RoutesTest, ALifetimeOfPromptCachesThatNobodyOffersIsRefused) {
  auto create = [&](const std::string& ttl) {
    return call("POST", kSessions,
                {.body = R"({"environment":{"type":"none"},"input":"hi","agent":{"model":"m"},)"
                         R"("prompt_cache_options":{"ttl":")" +
                         ttl + "\"}}"});
  };
  engine_.can.cache_minutes = 60;
  EXPECT_EQ(create("30m").status, 201);
  auto refused = create("12h");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(error_of(refused).at("param"), "prompt_cache_options.ttl");
  EXPECT_EQ(engine_.creations, 1);
  engine_.add(kId);
  refused =
      call("POST", kSessions + "/" + kId, {.body = R"({"prompt_cache_options":{"ttl":"12h"}})"});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(error_of(refused).at("param"), "prompt_cache_options.ttl");
}

TEST_F(RoutesTest, WhatTheModelsProviderHasNoWordsForIsRefused) {
  engine_.can = {};
  for (std::string_view setting :
       {R"("reasoning":{"summary":"auto"})", R"("text":{"verbosity":"low"})"}) {
    http::Response answer =
        call("POST", kSessions,
             {.body = R"({"environment":{"type":"none"},"input":"hi","agent":{"model":"m",)" +
                      std::string(setting) + "}}"});
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(error_of(answer).at("param"), setting.starts_with("\"reasoning")
                                                ? "agent.reasoning.summary"
                                                : "agent.text.verbosity");
  }
  EXPECT_EQ(engine_.creations, 0);
  EXPECT_EQ(call("POST", kSessions,
                 {.body = R"({"environment":{"type":"none"},"input":"hi","agent":{"model":"m",)"
                          R"("text":{"verbosity":"medium"}}})"})
                .status,
            201);
}

TEST_F(RoutesTest, ASessionPinsTheVersionOfTheSavedAgentItWasMadeFrom) {
  std::string id = save("one");
  auto made = call("POST", kSessions, {.body = with_agent(id)});
  ASSERT_EQ(made.status, 201) << made.body;
  json::object agent = body_of(made).at("agent").as_object();
  EXPECT_EQ(agent.at("id"), json::string(id));
  EXPECT_EQ(agent.at("name"), "helper");
  EXPECT_EQ(agent.at("model"), "one");
  EXPECT_EQ(agent.at("instructions"), "Be brief.");
  EXPECT_EQ(agent.at("version").to_number<int>(), 1);

  change(id, "two");
  engine_.list.clear();
  EXPECT_EQ(model_of(call("POST", kSessions, {.body = with_agent(id)})), "two");
  engine_.list.clear();
  EXPECT_EQ(model_of(call("POST", kSessions, {.body = with_agent(id, R"("agent_version":1)")})),
            "one");
}

TEST_F(RoutesTest, GivenMembersOverrideTheSavedAgents) {
  std::string id = save("one");
  auto made = call("POST", kSessions,
                   {.body = with_agent(id, R"("agent":{"instructions":null,"text":{}})")});
  ASSERT_EQ(made.status, 201) << made.body;
  json::object agent = body_of(made).at("agent").as_object();
  EXPECT_EQ(agent.at("model"), "one");
  EXPECT_TRUE(agent.at("instructions").is_null());
  EXPECT_EQ(agent.at("text").as_object().at("verbosity"), "medium")
      << "an object replaces the whole member";

  for (auto [overrides, path] : {std::pair{R"({"model":null})", "agent.model"},
                                 {R"({"name":"x"})", "agent.name"},
                                 {R"({"tools":[{"type":"web_search"}]})", "agent.tools[0].type"}}) {
    auto refused =
        call("POST", kSessions, {.body = with_agent(id, R"("agent":)" + std::string(overrides))});
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(error_of(refused).at("param"), path);
  }
}

TEST_F(RoutesTest, AnAgentThatIsNotThereMakesNoSession) {
  std::string id = save("one");
  for (auto [body, status, param] :
       {std::tuple{with_agent("agent_" + std::string(24, '0')), 404, "agent_id"},
        {with_agent("nonsense"), 404, "agent_id"},
        {with_agent("agt_" + std::string(24, '0')), 400, "agent_id"},
        {with_agent(id, R"("agent_version":2)"), 404, "agent_version"},
        {with_agent(id, R"("agent_version":0)"), 400, "agent_version"},
        {std::string(R"({"agent_version":1,"agent":{"model":"m"}})"), 400, "agent_version"},
        {std::string(R"({"agent_id":null})"), 400, "agent_id"}}) {
    auto refused = call("POST", kSessions, {.body = body});
    EXPECT_EQ(refused.status, status) << body;
    EXPECT_EQ(error_of(refused).at("param"), param) << body;
  }
  EXPECT_EQ(error_of(call("POST", kSessions, {.body = with_agent("agt_x")})).at("code"),
            "agent_not_persisted");
  EXPECT_EQ(engine_.creations, 0);
}

TEST_F(RoutesTest, ARepeatedCreationIsAnsweredAlsoWhenItsAgentHasGone) {
  std::string id = save("one");
  auto first = call("POST", kSessions, {.body = with_agent(id), .headers = key_});
  ASSERT_EQ(first.status, 201);
  ASSERT_TRUE(await(agents_.remove({"default"}, id)));
  auto again = call("POST", kSessions, {.body = with_agent(id), .headers = key_});
  EXPECT_EQ(again.status, 201);
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(call("POST", kSessions, {.body = with_agent(id)}).status, 404);
}

TEST_F(RoutesTest, AnImageInAResultIsRefusedByItsPathWhereTheModelTakesNone) {
  auto made =
      call("POST", kSessions,
           {.body = R"({"environment":{"type":"none"},"input":"hi","agent":{"model":"m"}})"});
  ASSERT_EQ(made.status, 201) << made.body;
  std::string path = std::string(kSessions) + "/" +
                     std::string(as_view(body_of(made).at("id").as_string())) + "/events";
  const std::string body =
      R"({"events":[{"type":"agent.session.input.tool_result","turn_id":"t","call_id":"c",)"
      R"("success":true,"output":[{"type":"input_text","text":"see"},)"
      R"({"type":"input_image","image_url":"https://x/a.png"}]}]})";
  engine_.can.remote_images = false;
  auto refused = call("POST", path, {.body = body});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(error_of(refused).at("param"), "events[0].output[1].image_url");
}

TEST_F(RoutesTest, ASpendingLimitIsKeptInCentsAndNeedsAPrice) {
  const std::string body = R"({"environment":{"type":"none"},"input":"hi","agent":{"model":"m"},)"
                           R"("spend_control":{"limit":250}})";
  auto made = call("POST", kSessions, {.body = body});
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(body_of(made).at("spend_control").at("limit"), 250);
  EXPECT_EQ(body_of(made).at("spend_control").at("consumed"), 0);
  EXPECT_EQ(engine_.list.back()->spend_limit, 2'500'000'000);
  engine_.has_price = false;
  auto refused = call("POST", kSessions, {.body = body});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(body_of(refused).at("error").at("param"), "spend_control.limit");
  EXPECT_EQ(body_of(refused).at("error").at("message"), "No price: m.");
  EXPECT_EQ(engine_.creations, 1);
}

TEST_F(RoutesTest, TheWorkstreamOfACreationIsKeptShownAndListedBy) {
  const auto in = [](std::string name) -> std::vector<std::pair<std::string, std::string>> {
    return {{"X-Perdure-Workstream", std::move(name)}};
  };
  for (const char* path : {"/v1/agents/sessions", "/openai/v1/agents/sessions"}) {
    engine_.list.clear();
    auto made = call("POST", path, {.body = create_, .headers = in("launch")});
    ASSERT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(body_of(made).at("workstream"), "launch");
    engine_.add(kId);
    EXPECT_FALSE(body_of(call("GET", path + ("/" + kId))).contains("workstream"));
    EXPECT_EQ(body_of(call("GET", path)).at("data").as_array().size(), 2u);
    EXPECT_EQ(body_of(call("GET", path, {.headers = in("launch")})).at("data").as_array().size(),
              1u);
    EXPECT_EQ(body_of(call("GET", path, {.headers = in("other")})).at("data").as_array().size(),
              0u);
    for (const char* method : {"GET", "POST"}) {
      auto refused = call(method, path, {.body = create_, .headers = in("no spaces")});
      EXPECT_EQ(refused.status, 400);
      EXPECT_EQ(error_of(refused).at("param"), "X-Perdure-Workstream");
    }
  }
}

TEST_F(RoutesTest, SessionsOfAClosedWorkstreamAreItsMembersAlone) {
  const std::vector<std::pair<std::string, std::string>> in = {{"X-Perdure-Workstream", "launch"}};
  using resources::Role;
  ASSERT_TRUE(await(workstreams_.create(
      {"default"},
      {.name = "launch", .members = {{"key_m", Role::kOwner}, {"key_v", Role::kViewer}}})));
  caller_.principal = "key_m";
  const auto made = call("POST", kSessions, {.body = create_, .headers = in});
  ASSERT_EQ(made.status, 201);
  const std::string id(body_of(made).at("id").as_string());
  const std::string path = kSessions + "/" + id;
  const std::vector<std::pair<std::string, std::string>> reads = {
      {"GET", path},
      {"GET", path + "/events"},
      {"GET", path + "/items"},
      {"GET", path + "/turns"},
      {"GET", path + "/turns/turn_1"},
      {"GET", path + "/turns/turn_1/items"}};
  caller_.principal = "key_x";
  for (const auto& [method, of] : reads) {
    const auto hidden = call(method, of);
    EXPECT_EQ(hidden.status, 404) << of;
    std::string never = of;
    never.replace(never.find(id), id.size(), "sess_" + std::string(26, 'z'));
    std::string other = call(method, never).body;
    if (auto at = other.find("sess_zz"); at != std::string::npos) other.replace(at, id.size(), id);
    EXPECT_EQ(hidden.body, other) << "like one that never was";
  }
  EXPECT_EQ(call("POST", path + "/events", {.body = cancel_}).status, 404);
  EXPECT_EQ(call("DELETE", path).status, 404);
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = in}).status, 404);
  EXPECT_EQ(engine_.submissions, 0);
  EXPECT_EQ(engine_.creations, 1);
  call("GET", kSessions);
  ASSERT_TRUE(engine_.last_viewer);
  EXPECT_EQ(engine_.last_viewer->principal, "key_x");

  caller_.principal = "key_v";
  for (const auto& [method, of] : reads) EXPECT_EQ(call(method, of).status, 200) << of;
  EXPECT_EQ(call("POST", path + "/events", {.body = cancel_}).status, 403);
  EXPECT_EQ(call("DELETE", path).status, 403);
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = in}).status, 403);

  caller_ = {{"default"}, "operator", true};
  EXPECT_EQ(call("GET", path).status, 200);
  call("GET", kSessions);
  EXPECT_FALSE(engine_.last_viewer) << "the operator sees everything";
  caller_ = {{"default"}, "key_m"};
  EXPECT_EQ(call("POST", path + "/events", {.body = cancel_}).status, 202);
  EXPECT_EQ(call("DELETE", path).status, 200);
}

TEST_F(RoutesTest, AWorkstreamThatIsNamedIsMadeAndAnArchivedOneTakesNoSessions) {
  const std::vector<std::pair<std::string, std::string>> in = {{"X-Perdure-Workstream", "launch"}};
  EXPECT_EQ(call("POST", kSessions, {.body = "{\"x\":1}", .headers = in}).status, 400);
  EXPECT_FALSE(await(workstreams_.find({"default"}, "launch"))) << "not by a refused request";
  auto keyed = in;
  keyed.push_back(key_[0]);
  const auto made = call("POST", kSessions, {.body = create_, .headers = keyed});
  ASSERT_EQ(made.status, 201);
  ASSERT_TRUE(await(workstreams_.find({"default"}, "launch")));
  ASSERT_TRUE(await(workstreams_.change({"default"}, "launch", [](const auto& now) {
    resources::Workstream next = now;
    next.archived = true;
    return Result<resources::Workstream>(next);
  })));
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = keyed}).body, made.body)
      << "what was made before is answered again";
  auto refused = call("POST", kSessions, {.body = create_, .headers = in});
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(error_of(refused).at("param"), "X-Perdure-Workstream");
}

TEST_F(RoutesTest, ASessionOfAnAgentIsInTheAgentsWorkstream) {
  const std::string agent = save("m");
  ASSERT_TRUE(await(workstreams_.create({"default"}, {.name = "launch", .agents = {agent}})));
  auto made = call("POST", kSessions, {.body = with_agent(agent)});
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(body_of(made).at("workstream"), "launch");
  engine_.list.clear();
  auto elsewhere =
      call("POST", kSessions,
           {.body = with_agent(agent), .headers = {{"X-Perdure-Workstream", "other"}}});
  EXPECT_EQ(body_of(elsewhere).at("workstream"), "other") << "what the request names wins";
  engine_.list.clear();
  ASSERT_EQ(call("POST", kSessions, {.body = with_agent(agent), .headers = key_}).status, 201);
  ASSERT_TRUE(await(workstreams_.change({"default"}, "launch", [](const auto& now) {
    resources::Workstream next = now;
    next.members = {{"key_m", resources::Role::kOwner}};
    return Result<resources::Workstream>(next);
  })));
  auto refused = call("POST", kSessions, {.body = with_agent(agent)});
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(error_of(refused).at("param"), "agent_id");
  EXPECT_EQ(refused.body.find("launch"), std::string::npos) << "its name is not told";
  EXPECT_EQ(call("POST", kSessions, {.body = with_agent(agent), .headers = key_}).status, 404)
      << "nor is what was answered before";
  caller_.principal = "key_m";
  EXPECT_EQ(call("POST", kSessions, {.body = with_agent(agent)}).status, 201);
}

TEST_F(RoutesTest, ACreationMayNameToolsOfTheServer) {
  auto headers = key_;
  headers.emplace_back("X-Perdure-Tools", "search_sessions, read_session_turn");
  auto made = call("POST", kSessions, {.body = create_, .headers = headers});
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(engine_.server_tools,
            (std::vector<std::string>{"search_sessions", "read_session_turn"}));
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = headers}).body, made.body);
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = key_}).status, 409);
  for (const char* wrong : {"unknown", "a,a", ","}) {
    auto refused =
        call("POST", kSessions, {.body = create_, .headers = {{"X-Perdure-Tools", wrong}}});
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(error_of(refused).at("param"), "X-Perdure-Tools");
  }
}

TEST_F(RoutesTest, TheSameKeyForAnotherWorkstreamIsAConflict) {
  auto headers = key_;
  headers.emplace_back("X-Perdure-Workstream", "launch");
  auto first = call("POST", kSessions, {.body = create_, .headers = headers});
  ASSERT_EQ(first.status, 201);
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = headers}).body, first.body);
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = key_}).status, 409);
  headers.back().second = "other";
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = headers}).status, 409);
  EXPECT_EQ(engine_.creations, 1);
}

TEST_F(RoutesTest, ACreationStreamStartsAtTheBeginningAndEndsWhenSettled) {
  auto response = call("POST", kSessions, {.body = create_stream_});
  EXPECT_EQ(response.status, 201);
  EXPECT_TRUE(response.stream);
  EXPECT_EQ(engine_.last_from.after, (Place{0, 0}));
  EXPECT_TRUE(engine_.last_from.until_settled);
}

TEST_F(RoutesTest, ARepeatedCreationGetsTheFirstAnswer) {
  auto first = call("POST", kSessions, {.body = create_, .headers = key_});
  auto second =
      call("POST", "/openai/v1/agents/sessions", {.body = " " + create_, .headers = key_});
  EXPECT_EQ(second.status, 201);
  EXPECT_EQ(first.body, second.body);
  EXPECT_EQ(engine_.creations, 1);
}

TEST_F(RoutesTest, ARepeatedStreamingCreationRejoinsTheStream) {
  call("POST", kSessions, {.body = create_stream_, .headers = key_});
  engine_.last_from = {};
  auto second = call("POST", kSessions, {.body = create_stream_, .headers = key_});
  EXPECT_EQ(second.status, 201);
  EXPECT_TRUE(second.stream);
  EXPECT_EQ(engine_.last_from.after, (Place{0, 0}));
  EXPECT_EQ(engine_.creations, 1);
}

TEST_F(RoutesTest, TheSameKeyWithAnotherBodyIsAConflict) {
  call("POST", kSessions, {.body = create_, .headers = key_});
  auto other = call("POST", kSessions, {.body = create_stream_, .headers = key_});
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(other.headers.get("x-should-retry"), "false");
}

TEST_F(RoutesTest, TheKeyOfADeletedSessionIsAConflict) {
  call("POST", kSessions, {.body = create_, .headers = key_});
  engine_.list.clear();
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = key_}).status, 409);
  EXPECT_EQ(engine_.creations, 1);
}

TEST_F(RoutesTest, AKeyThatIsForgottenNeverMakesASecondSession) {
  call("POST", kSessions, {.body = create_, .headers = key_});
  engine_.kept.clear();
  EXPECT_EQ(call("POST", kSessions, {.body = create_, .headers = key_}).status, 409);
  EXPECT_EQ(engine_.list.size(), 1u);
}

TEST_F(RoutesTest, EventsAnswer202WithoutABody) {
  engine_.add(kId);
  auto response = call("POST", kSessions + "/" + kId + "/events", {.body = cancel_});
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(engine_.last_inputs.size(), 1u);
}

TEST_F(RoutesTest, RepeatedEventsAreSubmittedOnce) {
  engine_.add(kId);
  std::string path = kSessions + "/" + kId + "/events";
  EXPECT_EQ(call("POST", path, {.body = cancel_, .headers = key_}).status, 202);
  EXPECT_EQ(call("POST", path, {.body = cancel_, .headers = key_}).status, 202);
  EXPECT_EQ(engine_.submissions, 1);
  EXPECT_EQ(call("POST", path, {.body = R"({"events":[]})", .headers = key_}).status, 409);
}

TEST_F(RoutesTest, ARefusedSubmissionMayBeRepeatedUnderItsKey) {
  engine_.add(kId);
  std::string path = kSessions + "/" + kId + "/events";
  engine_.refuse =
      Error{ErrorCode::kInvalidArgument, "Unknown pending tool call: c", "", "unknown_call"};
  auto refused = call("POST", path, {.body = cancel_, .headers = key_});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(error_of(refused).at("code"), "invalid_request_error");
  EXPECT_EQ(get_string(error_of(refused), "message"), "Unknown pending tool call: c");
  engine_.refuse.reset();
  EXPECT_EQ(call("POST", path, {.body = cancel_, .headers = key_}).status, 202);
}

TEST_F(RoutesTest, InputToWhatIsStoppedIsForbiddenByName) {
  engine_.add(kId);
  policy::Stop stop{.id = "stop_1", .order = {.target = kId, .reason = "it runs wild"}};
  engine_.refuse = stop.refusal();
  auto refused = call("POST", kSessions + "/" + kId + "/events", {.body = cancel_});
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(error_of(refused).at("code"), "stopped");
  EXPECT_EQ(get_string(error_of(refused), "message"),
            "The session '" + kId +
                "' is stopped. Stopped by an operator: it runs wild. A key of the project, or the "
                "operator of this server, can lift it (stop_1).");
}

TEST_F(RoutesTest, AStreamBeginsNowOrBehindAnEvent) {
  engine_.add(kId);
  std::string path = kSessions + "/" + kId + "/events";
  EXPECT_EQ(call("GET", path, {.query = {{"stream", "true"}}}).status, 200);
  EXPECT_FALSE(engine_.last_from.after);
  EXPECT_FALSE(engine_.last_from.until_settled);
  EXPECT_EQ(call("GET", path, {.query = {{"starting_after", event_id(3)}}}).status, 200);
  EXPECT_EQ(engine_.last_from.after, (Place{3, 0}));
  EXPECT_EQ(call("GET", path,
                 {.query = {{"starting_after", event_id(3)}},
                  .headers = {{"Last-Event-ID", event_id(5)}}})
                .status,
            200);
  EXPECT_EQ(engine_.last_from.after, (Place{5, 0})) << "a reconnecting browser sends both";
}

TEST_F(RoutesTest, ABadCursorIsNamed) {
  engine_.add(kId);
  std::string path = kSessions + "/" + kId + "/events";
  for (const std::string& id :
       {std::string("x"), std::string(), event_id(0), event_id(10),
        event_id(3, "sess_" + std::string(26, '1')), "evd" + event_id(3).substr(3)}) {
    auto response = call("GET", path, {.query = {{"starting_after", id}}});
    EXPECT_EQ(response.status, 400) << id;
    EXPECT_EQ(error_of(response).at("param"), "starting_after");
    EXPECT_NE(error_of(response).at("message").as_string().find(id), std::string::npos);
  }
  auto response = call("GET", path, {.headers = {{"Last-Event-ID", "x"}}});
  EXPECT_EQ(error_of(response).at("param"), "Last-Event-ID");
  EXPECT_EQ(call("GET", path, {.query = {{"stream", "false"}}}).status, 400);
}

TEST_F(RoutesTest, SessionsAreFilteredByMetadataAcrossPages) {
  for (int i = 0; i < 250; ++i)
    engine_.add("sess_" + std::to_string(100000 + i) + std::string(20, 'a'),
                {{"even", i % 2 ? "no" : "yes"}, {"third", i % 3 ? "no" : "yes"}});
  auto get = [&](http::Query query) { return body_of(call("GET", kSessions, {.query = query})); };
  auto all = get({{"metadata[even]", "yes"}, {"metadata[third]", "yes"}, {"limit", "100"}});
  EXPECT_EQ(all.at("data").as_array().size(), 42u);
  EXPECT_EQ(all.at("has_more"), false);
  auto some = get({{"metadata[even]", "yes"}, {"metadata[third]", "yes"}, {"limit", "41"}});
  EXPECT_EQ(some.at("data").as_array().size(), 41u);
  EXPECT_EQ(some.at("has_more"), true);
  auto rest = get({{"metadata[even]", "yes"},
                   {"metadata[third]", "yes"},
                   {"limit", "41"},
                   {"after", std::string(some.at("last_id").as_string())}});
  EXPECT_EQ(rest.at("data").as_array().size(), 1u);
  EXPECT_EQ(rest.at("has_more"), false);
  EXPECT_EQ(get({{"metadata[even]", "maybe"}}).at("data").as_array().size(), 0u);
}

TEST_F(RoutesTest, ASessionOfAnotherProjectIsNotFound) {
  engine_.add(kId, {}, "other");
  std::string path = kSessions + "/" + kId;
  EXPECT_EQ(call("GET", path).status, 404);
  EXPECT_EQ(call("GET", path + "/events").status, 404);
  EXPECT_EQ(call("GET", path + "/items").status, 404);
  EXPECT_EQ(call("POST", path + "/events", {.body = cancel_}).status, 404);
  EXPECT_EQ(body_of(call("GET", kSessions)).at("data").as_array().size(), 0u);
}

TEST_F(RoutesTest, AMissingAndAMalformedIdLookTheSame) {
  auto missing = call("GET", kSessions + "/" + kId);
  auto malformed = call("GET", kSessions + "/nonsense");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(malformed.status, 404);
  EXPECT_EQ(error_of(malformed).at("code"), "not_found_error");
}

TEST_F(RoutesTest, DeletingAnswersAConfirmationOrAConflict) {
  engine_.add(kId);
  engine_.refuse = Error{ErrorCode::kConflict, "A turn is running."};
  EXPECT_EQ(call("DELETE", kSessions + "/" + kId).status, 409);
  engine_.refuse.reset();
  auto deleted = call("DELETE", kSessions + "/" + kId);
  EXPECT_EQ(deleted.status, 200);
  EXPECT_EQ(deleted.body,
            "{\"id\":\"" + kId + R"(","object":"agent.session.deleted","deleted":true})");
}

TEST_F(RoutesTest, ItemListsCheckTheirCursor) {
  engine_.add(kId);
  std::string path = kSessions + "/" + kId + "/items";
  EXPECT_EQ(call("GET", path, {.query = {{"include_incomplete", "true"}}}).status, 200);
  EXPECT_TRUE(engine_.incomplete);
  auto bad = call("GET", path, {.query = {{"after", "x"}}});
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(error_of(bad).at("message"), "Invalid session item ID in `after`");
  engine_.refuse = Error{ErrorCode::kNotFound, "no such item"};
  auto unknown = call("GET", path, {.query = {{"after", local_id("msg", {kId}, {3, 0})}}});
  EXPECT_EQ(unknown.status, 400);
}

TEST_F(RoutesTest, ItemsOfATurn) {
  engine_.add(kId);
  std::string path = kSessions + "/" + kId + "/turns/";
  EXPECT_EQ(call("GET", path + "turn_1/items").status, 200);
  EXPECT_EQ(engine_.last_turn, "turn_1");
  EXPECT_EQ(call("GET", path + "turn_2/items").status, 404);
  EXPECT_EQ(call("GET", path + "turn_1").status, 200);
  EXPECT_EQ(call("GET", path + "turn_2").status, 404);
  EXPECT_EQ(call("GET", kSessions + "/" + kId + "/turns", {.query = {{"limit", "0"}}}).status, 400);
}

TEST_F(RoutesTest, AnUnknownVersionIsRefusedBeforeAnythingElse) {
  auto response = call("POST", kSessions, {.headers = {{"OpenAI-Beta", "agents=v9"}}});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(error_of(response).at("code"), "invalid_beta");
}

}  // namespace
}  // namespace perdure::facades::agents_api
