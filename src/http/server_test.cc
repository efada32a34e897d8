#include "http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "http/server_test_support.h"

namespace perdure::http {
namespace {

using testing::Answer;
using testing::echo;
using testing::Gate;
using testing::get;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using testing::post;
using testing::post_chunked;
using testing::RawClient;
using ::testing::StartsWith;
using testing::TestServer;
using testing::text_response;

TEST(ServerTest, AnswersWithTheFieldsEveryResponseHas) {
  TestServer server;
  server.add("GET", "/hello", echo);
  RawClient client(server);
  client.send(get("/hello?x=1"));
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "GET /hello?x=1 ");
  EXPECT_EQ(answer.header("content-length"), "15");
  EXPECT_EQ(answer.header("x-content-type-options"), "nosniff");
  EXPECT_EQ(answer.header("date"), "Fri, 15 Jan 2027 08:00:00 GMT");
  EXPECT_THAT(answer.header("x-request-id"), MatchesRegex("req_[0-9a-f]+"));
  EXPECT_EQ(answer.header("x-request-id").size(), 36u);
  EXPECT_EQ(answer.header("connection"), "(absent)");
}

TEST(ServerTest, GivesTheHandlerTheWholeRequest) {
  TestServer server;
  Request seen;
  server.add("POST", "/v1/{a}/x/{b}", [&](Request request) {
    seen = request;
    return echo(std::move(request));
  });
  RawClient client(server);
  client.send(post("/v1/one/x/t%2Fwo?q=1", "body"));
  Answer answer = client.read_answer();
  EXPECT_EQ(seen.parameters, (std::vector<std::string>{"one", "t/wo"}));
  EXPECT_EQ(seen.body, "body");
  EXPECT_EQ(seen.path, "/v1/one/x/t%2Fwo");
  EXPECT_EQ(seen.peer, "127.0.0.1");
  EXPECT_EQ(seen.request_id, answer.header("x-request-id"));
}

TEST(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  TestServer server;
  server.add("GET", "/{n}", echo);
  server.add("POST", "/{n}", echo);
  std::string three = get("/1") + post("/2", "two") + post_chunked("/3", "5\r\nthree\r\n0\r\n\r\n");
  RawClient at_once(server);
  at_once.send(three);
  RawClient slowly(server);
  slowly.send_byte_by_byte(three);
  for (RawClient* client : {&at_once, &slowly}) {
    EXPECT_EQ(client->read_answer().body, "GET /1 ");
    EXPECT_EQ(client->read_answer().body, "POST /2 two");
    EXPECT_EQ(client->read_answer().body, "POST /3 three");
  }
  at_once.send(get("/4"));
  EXPECT_EQ(at_once.read_answer().body, "GET /4 ");
}

TEST(ServerTest, AnAnswerDoesNotWaitForTheNextOneInThePipeline) {
  TestServer server;
  Gate gate(server);
  server.add("GET", "/quick", echo);
  server.add("GET", "/slow", [&](Request request) { return gate.wait(std::move(request)); });
  RawClient client(server);
  client.send(get("/quick") + get("/slow") + get("/quick"));
  EXPECT_EQ(client.read_answer().body, "GET /quick ");
  EXPECT_EQ(gate.entered, 1);
  gate.opened.notify();
  EXPECT_EQ(client.read_answer().body, "waited /slow");
  EXPECT_EQ(client.read_answer().body, "GET /quick ");
}

TEST(ServerTest, ManyPipelinedRequestsDoNotStarveOthers) {
  TestServer server;
  server.add("GET", "/{n}", echo);
  RawClient many(server);
  std::string requests;
  for (int i = 0; i < 500; ++i) requests += get("/" + std::to_string(i));
  many.send(requests);
  for (int i = 0; i < 500; ++i)
    ASSERT_EQ(many.read_answer().body, "GET /" + std::to_string(i) + ' ');
}

TEST(ServerTest, ReadsChunkedBodiesWithExtensionsAndTrailers) {
  TestServer server;
  server.add("POST", "/", echo);
  RawClient client(server);
  std::string request =
      post_chunked("/", "3;a=\"b\"\r\nabc\r\nA\r\n0123456789\r\n0;x\r\nSum: 1\r\n\r\n");
  client.send(request);
  EXPECT_EQ(client.read_answer().body, "POST / abc0123456789");
  client.send_byte_by_byte(request);
  EXPECT_EQ(client.read_answer().body, "POST / abc0123456789");
}

TEST(ServerTest, ReadsALargeBodyWhole) {
  TestServer server;
  std::string seen;
  struct Taker {
    static Task<Response> take(Request request, std::string* out) {
      *out = std::move(request.body);
      co_return text_response("taken");
    }
  };
  server.add("POST", "/", [&](Request request) { return Taker::take(std::move(request), &seen); });
  std::string body;
  for (int i = 0; body.size() < (5u << 20); ++i) body += std::to_string(i) + ',';
  RawClient client(server);
  client.send(post("/", body));
  EXPECT_EQ(client.read_answer().body, "taken");
  EXPECT_TRUE(seen == body);
  client.send(post("/", "small"));
  EXPECT_EQ(client.read_answer().body, "taken");
  EXPECT_EQ(seen, "small");
}

TEST(ServerTest, ContinuesWhenExpectedTo) {
  TestServer server;
  server.add("POST", "/", echo, 100);
  RawClient client(server);
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 100);
  client.send("body");
  EXPECT_EQ(client.read_answer().body, "POST / body");
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 413) << "a body that would be refused is not asked for";
  EXPECT_TRUE(client.closed_by_server());
  RawClient other(server);
  other.send("POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(other.read_answer().status, 404);
  EXPECT_TRUE(other.closed_by_server()) << "or the unsent body would be read as a request";
}

TEST(ServerTest, SpeaksHttp10) {
  TestServer server;
  server.add("GET", "/", echo);
  RawClient closing(server);
  closing.send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(closing.read_to_end(), HasSubstr("connection: close\r\n"));
  RawClient keeping(server);
  for (int i = 0; i < 2; ++i) {
    keeping.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(keeping.read_answer().header("connection"), "keep-alive");
  }
}

TEST(ServerTest, ClosesWhenAsked) {
  TestServer server;
  server.add("GET", "/", echo);
  RawClient client(server);
  client.send(get("/", "Connection: close\r\n"));
  EXPECT_EQ(client.read_answer().header("connection"), "close");
  EXPECT_TRUE(client.closed_by_server());
}

TEST(ServerTest, AnswersAClientThatHasFinishedSending) {
  TestServer server;
  server.add("GET", "/", echo);
  RawClient client(server);
  client.send(get("/") + get("/"));
  client.finish_sending();
  EXPECT_EQ(client.read_answer().status, 200);
  EXPECT_EQ(client.read_answer().status, 200);
  EXPECT_TRUE(client.closed_by_server());
}

TEST(ServerTest, HeadIsAnsweredOnlyWhereItIsRouted) {
  TestServer server;
  server.add("GET", "/a", echo);
  server.add("HEAD", "/b", echo);
  RawClient client(server);
  client.send("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
  Answer refused = client.read_answer(true);
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.header("allow"), "GET");
  client.send("HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n");
  Answer answer = client.read_answer(true);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("content-length"), "8");
  client.send(get("/a"));
  EXPECT_EQ(client.read_answer().body, "GET /a ") << "no body bytes may follow the answers to HEAD";
}

TEST(ServerTest, UnknownPathsKeepTheConnectionUnlessTheirBodyIsLarge) {
  TestServer server;
  server.add("GET", "/a", echo);
  RawClient client(server);
  client.send(post("/nowhere", "some body") + post("/a", "x") + get("/a/%zz") + get("/a"));
  EXPECT_EQ(client.read_answer().status, 404);
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.header("allow"), "GET");
  EXPECT_EQ(client.read_answer().status, 400);
  EXPECT_EQ(client.read_answer().status, 200);
  client.send(post("/nowhere", std::string(kMaxDiscardedBody + 1, 'x')));
  EXPECT_EQ(client.read_answer().status, 404);
  EXPECT_TRUE(client.closed_by_server());
}

TEST(ServerTest, MalformedRequestsAreAnsweredAndEndTheConnection) {
  TestServer server;
  server.add("POST", "/", echo, 100);
  server.add("GET", "/", echo);
  struct Case {
    std::string request;
    int status;
  };
  const Case cases[] = {
      {"nonsense\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {get("/", "Host: again\r\n"), 400},
      {get("*"), 400},
      {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 501},
      {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
      {get("/" + std::string(20'000, 'a')), 414},
      {get("/", "X: " + std::string(70'000, 'a') + "\r\n"), 431},
      {post("/", "12345", "Transfer-Encoding: chunked\r\n"), 400},
      {post_chunked("/", "5\r\nhelloGARBAGE"), 400},
      {post_chunked("/", "zz\r\n"), 400},
      {post_chunked("/", "65\r\n"), 413},
      {post("/", std::string(101, 'x')), 413},
      {post("/", std::string(900'000, 'x')), 413},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.request.substr(0, 80));
    RawClient client(server);
    client.send(get("/") + c.request + get("/"));
    EXPECT_EQ(client.read_answer().status, 200);
    Answer answer = client.read_answer();
    EXPECT_EQ(answer.status, c.status);
    EXPECT_EQ(answer.header("connection"), "close");
    EXPECT_THAT(answer.body, StartsWith(R"({"error":{"code":)"));
    EXPECT_EQ(client.read_to_end(), "") << "nothing after lost framing may be answered";
  }
}

TEST(ServerTest, TheDoorShapesErrors) {
  Hooks hooks;
  hooks.error_response = [](int status, const Error& error, const Request* request) {
    return json_response(
        status, std::string(to_string(error.code)) + ' ' + (request ? request->path : "(none)"));
  };
  TestServer server(TestServer::quick(), std::move(hooks));
  server.add("POST", "/big", echo, 1);
  RawClient one(server);
  one.send(get("/nowhere"));
  EXPECT_EQ(one.read_answer().body, "not_found /nowhere");
  one.send(post("/big", "too big"));
  EXPECT_EQ(one.read_answer().body, "too_large /big");
  RawClient two(server);
  two.send("nonsense\r\n\r\n");
  EXPECT_EQ(two.read_answer().body, "invalid_argument (none)");
}

TEST(ServerTest, BeforeRunsForEveryRequestAndMayAnswerIt) {
  Hooks hooks;
  std::vector<std::string> seen;
  hooks.before = [&](Request& request, const Route* route) -> std::optional<Response> {
    seen.push_back(request.path + (route ? " routed " : " unrouted ") + request.body);
    if (request.headers.get("x-refuse")) return json_response(403, "{}");
    request.body += " seen";
    return std::nullopt;
  };
  TestServer server(TestServer::quick(), std::move(hooks));
  server.add("POST", "/a", echo);
  RawClient client(server);
  client.send(post("/a", "x") + post("/a", "y", "X-Refuse: 1\r\n") + get("/b"));
  EXPECT_EQ(client.read_answer().body, "POST /a x seen");
  EXPECT_EQ(client.read_answer().status, 403);
  EXPECT_EQ(client.read_answer().status, 404);
  EXPECT_EQ(seen, (std::vector<std::string>{"/a routed x", "/a routed y", "/b unrouted "}));
}

TEST(ServerTest, AdmitRefusesBeforeTheBodyIsRead) {
  Hooks hooks;
  bool before_ran = false;
  hooks.admit = [](const Request& request, const Route*) -> std::optional<Response> {
    if (!request.headers.get("authorization")) return json_response(401, "{}");
    return std::nullopt;
  };
  hooks.before = [&](Request&, const Route*) -> std::optional<Response> {
    before_ran = true;
    return std::nullopt;
  };
  TestServer server(TestServer::quick(), std::move(hooks));
  server.add("POST", "/", echo);
  RawClient client(server);
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 401);
  EXPECT_TRUE(client.closed_by_server());
  EXPECT_FALSE(before_ran);
  RawClient small(server);
  small.send(post("/", "small") + post("/", "small", "Authorization: x\r\n"));
  EXPECT_EQ(small.read_answer().status, 401);
  EXPECT_EQ(small.read_answer().status, 200) << "a small refused body does not cost the connection";
}

TEST(ServerTest, AnExceptionIsA500AndTheConnectionGoesOn) {
  TestServer server;
  struct Thrower {
    static Task<Response> later(Request) {
      co_await async::yield();
      throw std::runtime_error("secret detail");
    }
  };
  server.add("GET", "/at-once",
             [](Request) -> Task<Response> { throw std::runtime_error("secret"); });
  server.add("GET", "/later", Thrower::later);
  server.add("GET", "/", echo);
  RawClient client(server);
  client.send(get("/at-once") + get("/later") + get("/"));
  EXPECT_EQ(client.read_answer().status, 500);
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, Not(HasSubstr("secret")));
  EXPECT_EQ(client.read_answer().status, 200);
}

TEST(ServerTest, AHandlerCannotSplitAResponse) {
  TestServer server;
  struct Splitter {
    static Task<Response> split(Request) {
      Response response = text_response("x");
      response.headers.add("x-echo", "a\r\nSet-Cookie: b");
      co_return response;
    }
  };
  server.add("GET", "/", Splitter::split);
  RawClient client(server);
  client.send(get("/"));
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.header("set-cookie"), "(absent)");
}

TEST(ServerTest, AHandlerCannotChangeTheFraming) {
  TestServer server;
  struct Liar {
    static Task<Response> lie(Request) {
      Response response = text_response("body");
      response.headers.add("Content-Length", "400");
      response.headers.add("Transfer-Encoding", "chunked");
      co_return response;
    }
    static Task<Response> no_content(Request) {
      Response response;
      response.status = 204;
      response.body = "must not be sent";
      co_return response;
    }
  };
  server.add("GET", "/", Liar::lie);
  server.add("GET", "/none", Liar::no_content);
  RawClient client(server);
  client.send(get("/") + get("/none") + get("/"));
  EXPECT_EQ(client.read_answer().body, "body");
  Answer none = client.read_answer();
  EXPECT_EQ(none.status, 204);
  EXPECT_EQ(none.header("content-length"), "(absent)");
  EXPECT_EQ(client.read_answer().body, "body");
}

}  // namespace
}  // namespace perdure::http
