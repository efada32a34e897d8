#include "main/guard.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "identity/request_caller.h"
#include "journal/memory/memory_journal.h"

namespace perdure::app {
namespace {

using http::Request;
using http::Response;
using http::Route;

Response plain_error(int status, const Error& error, const Request*) {
  return http::json_response(status, error.message);
}

async::Task<Response> who_am_i(Request request) {
  const identity::Caller caller = identity::caller_of(request);
  co_return http::json_response(200, caller.project.value + "/" + caller.principal +
                                         (caller.operator_access ? "/operator" : ""));
}

class GuardTest : public testing::Test {
 protected:
  GuardTest() { await(keys_.open()).value(); }

  template <class T>
  T await(async::Task<T> task) {
    auto future = boost::asio::co_spawn(loop_, std::move(task), boost::asio::use_future);
    loop_.restart();
    loop_.run();
    return future.get();
  }

  Guard guard(Mode mode) {
    return Guard({.mode = mode,
                  .hosts = {"agents.example.com", "other.example.com:8443"},
                  .operator_token = "the-operator"},
                 keys_, plain_error);
  }

  FakeEnv env_;
  boost::asio::io_context loop_;
  journal::MemoryJournal store_{env_};
  identity::ApiKeys keys_{env_, store_};
};

// ---- the head ---------------------------------------------------------------------------------

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Head {
  const char* name;
  Fields fields;  ///< instead of, or beside, a good request's
  int status;     ///< 0: admitted
  bool open = false;
  std::string method = "POST";
  bool any_host = false;
};

class Heads : public GuardTest, public testing::WithParamInterface<Head> {};

TEST_P(Heads, AreJudgedTheSameInBothModes) {
  const Head& head = GetParam();
  Request request{.method = head.method, .target = "/v1/x", .path = "/v1/x"};
  Fields fields = {{"Host", "127.0.0.1:8787"}, {"Authorization", "Bearer any"}};
  for (const auto& field : head.fields)
    std::erase_if(fields, [&](const auto& good) { return good.first == field.first; });
  fields.insert(fields.end(), head.fields.begin(), head.fields.end());
  for (const auto& [name, value] : fields)
    if (value != "<absent>") request.headers.add(name, value);
  const Route route{
      .method = head.method, .path = "/v1/x", .open = head.open, .any_host = head.any_host};
  for (Mode mode : {Mode::kDev, Mode::kServe}) {
    const auto refused = guard(mode).admit(request, &route);
    EXPECT_EQ(refused ? refused->status : 0, head.status) << (refused ? refused->body : "");
    if (!refused) continue;
    for (const auto& [name, value] : refused->headers.all())
      EXPECT_FALSE(name.starts_with("Access-Control")) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, Heads,
    testing::Values(
        Head{"Good", {}, 0},  //
        Head{"LoopbackName", {{"Host", "localhost:8787"}}, 0},
        Head{"LoopbackNameInCapitals", {{"Host", "LOCALHOST"}}, 0},
        Head{"LoopbackV6", {{"Host", "[::1]:8787"}}, 0},
        Head{"ConfiguredName", {{"Host", "agents.example.com"}}, 0},
        Head{"ConfiguredNameAnyPort", {{"Host", "agents.example.com:1"}}, 0},
        Head{"ConfiguredNameWithPort", {{"Host", "other.example.com:8443"}}, 0},
        Head{"ConfiguredNameOtherPort", {{"Host", "other.example.com:1"}}, 421},
        Head{"ForeignHost", {{"Host", "evil.example"}}, 421},
        Head{"LooksLikeLoopback", {{"Host", "127.0.0.1.evil.example"}}, 421},
        Head{"EndsLikeOurs", {{"Host", "notagents.example.com"}}, 421},
        Head{"LoopbackAsUser", {{"Host", "127.0.0.1@evil.example"}}, 421},
        Head{"ForeignHostWithPort", {{"Host", "evil.example:8787"}}, 421},
        Head{"PortIsNoNumber", {{"Host", "localhost:x"}}, 421},
        Head{"BracketWithoutEnd", {{"Host", "[::1"}}, 421},
        Head{"NoHost", {{"Host", "<absent>"}}, 421}, Head{"EmptyHost", {{"Host", ""}}, 421},
        Head{"TwoHosts", {{"Host", "localhost"}, {"Host", "evil.example"}}, 421},
        Head{"ForeignHostOnOpenRoute", {{"Host", "evil.example"}}, 421, true, "GET"},
        Head{"ProbeByAddress", {{"Host", "10.2.3.4:8787"}}, 0, true, "GET", true},
        Head{"ProbeWithoutHost", {{"Host", "<absent>"}}, 0, true, "GET", true},
        Head{"ForeignOriginOnProbe", {{"Origin", "http://evil.example"}}, 403, true, "GET", true},
        Head{"OwnOrigin", {{"Origin", "http://127.0.0.1:8787"}}, 0},
        Head{"OwnOriginBehindTls",
             {{"Host", "agents.example.com"}, {"Origin", "https://agents.example.com"}},
             0},
        Head{"ForeignOrigin", {{"Origin", "https://evil.example"}}, 403},
        Head{"ForeignOriginOnGet", {{"Origin", "https://evil.example"}}, 403, false, "GET"},
        Head{"ForeignOriginOnOptions", {{"Origin", "https://evil.example"}}, 403, false, "OPTIONS"},
        Head{"ForeignOriginOnStream",
             {{"Origin", "https://evil.example"}, {"Accept", "text/event-stream"}},
             403,
             false,
             "GET"},
        Head{"ForeignOriginOnOpenRoute", {{"Origin", "http://evil.example"}}, 403, true, "GET"},
        Head{"OtherPortIsForeign", {{"Origin", "http://127.0.0.1:3000"}}, 403},
        Head{"OtherLoopbackNameIsForeign", {{"Origin", "http://localhost:8787"}}, 403},
        Head{"NullOrigin", {{"Origin", "null"}}, 403},
        Head{"OriginBeginsLikeOurs", {{"Origin", "http://127.0.0.1:8787.evil.example"}}, 403},
        Head{"TwoOrigins",
             {{"Origin", "http://127.0.0.1:8787"}, {"Origin", "http://evil.example"}},
             403},
        Head{"NoAuthorization", {{"Authorization", "<absent>"}}, 401},
        Head{"NoAuthorizationOnGet", {{"Authorization", "<absent>"}}, 401, false, "GET"},
        Head{"EmptyAuthorization", {{"Authorization", " "}}, 401},
        Head{"OpenRoute", {{"Authorization", "<absent>"}}, 0, true, "GET"},
        Head{"JsonBody", {{"Content-Length", "2"}, {"Content-Type", "application/json"}}, 0},
        Head{"JsonBodyWithCharset",
             {{"Content-Length", "2"}, {"Content-Type", "Application/JSON ; charset=utf-8"}},
             0},
        Head{"TextBody", {{"Content-Length", "2"}, {"Content-Type", "text/plain"}}, 415},
        Head{"FormBody",
             {{"Content-Length", "2"}, {"Content-Type", "application/x-www-form-urlencoded"}},
             415},
        Head{"TypeBeginsLikeJson",
             {{"Content-Length", "2"}, {"Content-Type", "application/jsonp"}},
             415},
        Head{"JsonInAParameter",
             {{"Content-Length", "2"}, {"Content-Type", "text/plain; x=application/json"}},
             415},
        Head{"BodyWithoutType", {{"Content-Length", "2"}}, 415},
        Head{"ChunkedBodyWithoutType", {{"Transfer-Encoding", "chunked"}}, 415},
        Head{"EmptyBodyWithoutType", {{"Content-Length", "0"}}, 0},
        Head{"Hop", {{"X-Perdure-Hop", "1"}}, 508},
        Head{"HopOnOpenRoute", {{"x-perdure-hop", "1"}}, 508, true, "GET"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(GuardTest, AnUnknownPathNeedsACredentialToo) {
  Request request{.method = "GET", .path = "/nowhere"};
  request.headers.add("Host", "localhost");
  EXPECT_EQ(guard(Mode::kDev).admit(request, nullptr)->status, 401);
}

// ---- the caller -------------------------------------------------------------------------------

class Callers : public GuardTest {
 protected:
  Response call(Mode mode, std::string authorization) {
    const Guard judge = guard(mode);
    const Route route = judge.protect({.method = "GET", .path = "/", .handler = who_am_i});
    Request request{.method = "GET", .path = "/"};
    request.headers.add("Authorization", std::move(authorization));
    return await(route.handler(std::move(request)));
  }
};

TEST_F(Callers, DevLetsAnybodyInAsTheDefaultProject) {
  for (const char* authorization :
       {"Bearer sk-anything", "bearer x", "AWS4-HMAC-SHA256 Credential=A/b/c, Signature=d"}) {
    const Response response = call(Mode::kDev, authorization);
    EXPECT_EQ(response.status, 200) << authorization;
    EXPECT_EQ(response.body, "default/dev/operator");
  }
  for (const char* authorization : {"Bearer", "Bearer ", "Basic dXNlcg==", "sk-anything"})
    EXPECT_EQ(call(Mode::kDev, authorization).status, 401) << authorization;
}

TEST_F(Callers, ServeDemandsAValidKey) {
  const auto created = await(keys_.create("team-a", ""));
  ASSERT_TRUE(created);
  const Response response = call(Mode::kServe, "Bearer " + created->key);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "team-a/" + created->info.id);
  for (const std::string& authorization :
       {std::string("Bearer sk-anything"), "Bearer " + created->key + "x", "Basic " + created->key,
        created->key, std::string("AWS4-HMAC-SHA256 Credential=A")}) {
    const Response refused = call(Mode::kServe, authorization);
    EXPECT_EQ(refused.status, 401) << authorization;
    EXPECT_EQ(refused.headers.get("WWW-Authenticate"), "Bearer");
  }
}

TEST_F(Callers, ARevokedKeyIsRefusedAtTheNextRequest) {
  const auto created = await(keys_.create("default", ""));
  ASSERT_EQ(call(Mode::kServe, "Bearer " + created->key).status, 200);
  await(keys_.revoke(created->info.id)).value();
  EXPECT_EQ(call(Mode::kServe, "Bearer " + created->key).status, 401);
}

TEST_F(Callers, TheOperatorsTokenIsKnownInBothModes) {
  for (Mode mode : {Mode::kDev, Mode::kServe})
    EXPECT_EQ(call(mode, "Bearer the-operator").body, "default/operator/operator");
  EXPECT_EQ(call(Mode::kServe, "Bearer the-operato").status, 401);
  const Guard without({.mode = Mode::kServe}, keys_, plain_error);
  const Route route = without.protect({.method = "GET", .path = "/", .handler = who_am_i});
  Request request;
  request.headers.add("Authorization", "Bearer ");
  EXPECT_EQ(await(route.handler(std::move(request))).status, 401) << "an empty token is nobody's";
}

TEST_F(Callers, AHandlerWithoutTheGuardKnowsNobody) {
  EXPECT_THROW(await(who_am_i(Request{})), std::logic_error);
}

}  // namespace
}  // namespace perdure::app
