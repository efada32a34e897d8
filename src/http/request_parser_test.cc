#include "http/request_parser.h"

#include <gtest/gtest.h>

#include <string>

#include "http/limits.h"

namespace perdure::http {
namespace {

using State = RequestParser::State;

/// Feeds `input` in steps as a connection does; `at` is where the head ended.
State feed(RequestParser& parser, std::string_view input, std::size_t step, std::size_t& at) {
  at = 0;
  State state = State::kMore;
  for (std::size_t have = 0; have < input.size() && state == State::kMore;) {
    have = std::min(input.size(), have + step);
    std::size_t consumed = 0;
    state = parser.parse(input.substr(at, have - at), consumed);
    at += consumed;
  }
  return state;
}

/// The status of the refusal, 200 for a whole head, 0 if it wants more; the same for every cut.
int verdict(std::string_view input) {
  int whole = -1;
  for (std::size_t step : {input.size(), std::size_t{1}, std::size_t{3}, std::size_t{64}}) {
    RequestParser parser;
    std::size_t at = 0;
    State state = feed(parser, input, step, at);
    int status = state == State::kDone      ? 200
                 : state == State::kRefused ? parser.refusal().status
                                            : 0;
    if (whole < 0) whole = status;
    EXPECT_EQ(status, whole) << "in steps of " << step << ": " << input.substr(0, 100);
    if (state == State::kRefused) {
      EXPECT_FALSE(parser.refusal().error.message.empty());
    }
  }
  return whole;
}

/// A request with these fields after a Host.
std::string post(std::string_view fields) {
  return "POST / HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n";
}

TEST(RequestParserTest, ReadsTheParts) {
  RequestParser parser;
  std::size_t at = 0;
  std::string_view head =
      "POST /v1/a%2Fb?x=1&y=a+b%26&z HTTP/1.1\r\nHost: localhost:8787\r\nX-One:  two \r\n"
      "Content-Length: 12\r\n\r\n";
  ASSERT_EQ(feed(parser, std::string(head) + "rest", 1000, at), State::kDone);
  EXPECT_EQ(at, head.size());
  const Request& request = parser.request();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/v1/a%2Fb?x=1&y=a+b%26&z");
  EXPECT_EQ(request.path, "/v1/a%2Fb");
  Query expected{{"x", "1"}, {"y", "a b&"}, {"z", ""}};
  EXPECT_EQ(request.query, expected);
  EXPECT_EQ(request.headers.get("x-one"), "two");
  EXPECT_EQ(parser.framing().content_length, 12u);
  EXPECT_TRUE(parser.framing().keep_alive);
}

TEST(RequestParserTest, AnAbsoluteTargetNamesTheHost) {
  RequestParser parser;
  std::size_t at = 0;
  ASSERT_EQ(feed(parser, "GET http://real:1?q=1 HTTP/1.1\r\nHost: other\r\n\r\n", 1000, at),
            State::kDone);
  EXPECT_EQ(parser.request().path, "/");
  EXPECT_EQ(parser.request().target, "/?q=1");
  EXPECT_EQ(parser.request().headers.get("host"), "real:1");
  EXPECT_EQ(parser.request().headers.count("host"), 1u);
}

TEST(RequestParserTest, KeepsTheConnectionByTheRulesOfItsVersion) {
  struct Case {
    const char* head;
    bool keep;
  };
  for (const Case& c : {Case{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
                        Case{"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", false},
                        Case{"GET / HTTP/1.0\r\n\r\n", false},
                        Case{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
                        Case{"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false}}) {
    RequestParser parser;
    std::size_t at = 0;
    ASSERT_EQ(feed(parser, c.head, 1000, at), State::kDone) << c.head;
    EXPECT_EQ(parser.framing().keep_alive, c.keep) << c.head;
  }
}

TEST(RequestParserTest, AcceptsWhatIsUnusualButClear) {
  EXPECT_EQ(verdict("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 200);
  EXPECT_EQ(verdict("GET / HTTP/1.0\r\n\r\n"), 200);
  EXPECT_EQ(verdict("GET //x HTTP/1.1\r\nHost:\r\n\r\n"), 200);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nhOST: [::1]:80\r\nEmpty:\r\nX: \xc3\xbc\ttab\r\n\r\n"), 200);
  EXPECT_EQ(verdict(post("Transfer-Encoding: Chunked\r\n")), 200);
  EXPECT_EQ(verdict(post("Content-Length: 000\r\n")), 200);
}

TEST(RequestParserTest, RefusesWhatSmugglesRequests) {
  for (const char* fields : {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                             "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                             "Content-Length: 5\r\nContent-Length: 5\r\n",
                             "Content-Length: 5\r\nContent-Length: 6\r\n",
                             "Content-Length: 5, 5\r\n",
                             "Content-Length: 5,6\r\n",
                             "Content-Length: +5\r\n",
                             "Content-Length: -5\r\n",
                             "Content-Length: 0x5\r\n",
                             "Content-Length: 5 5\r\n",
                             "Content-Length:\r\n",
                             "Content-Length: 18446744073709551616\r\n",
                             "Content-Length : 5\r\n",
                             "Content-Length\t: 5\r\n",
                             "Content-Length: 5\n",
                             "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                             "Transfer-Encoding : chunked\r\n",
                             " Transfer-Encoding: chunked\r\n",
                             "X: y\r\n Transfer-Encoding: chunked\r\n",
                             "X:\r\n\tfolded\r\n",
                             "X: a\rb\r\n",
                             "X: a\nContent-Length: 5\r\n",
                             "X\r\n",
                             ": no name\r\n",
                             "X: \x01\r\n",
                             "X: \x7f\r\n",
                             "X\x80: y\r\n",
                             "Host: h\r\n",
                             "Host: other\r\n"})
    EXPECT_EQ(verdict(post(fields)), 400) << fields;
  EXPECT_EQ(verdict(post(std::string_view("X: a\0b\r\n", 8))), 400);
}

TEST(RequestParserTest, RefusesCodingsItDoesNotKnow) {
  for (const char* fields :
       {"Transfer-Encoding: gzip\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n", "Transfer-Encoding:\r\n",
        "Transfer-Encoding: chunked;q=1\r\n"})
    EXPECT_EQ(verdict(post(fields)), 501) << fields;
  EXPECT_EQ(verdict("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(RequestParserTest, RefusesHostsThatAreNone) {
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\n\r\n"), 400);
  for (const char* host : {"a b", "a/b", "user@h", "a,b", "h\\x", "<h>"})
    EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n"), 400) << host;
  EXPECT_EQ(verdict("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
}

TEST(RequestParserTest, RefusesRequestLines) {
  auto line = [](std::string_view text) {
    return verdict(std::string(text) + "\r\nHost: h\r\n\r\n");
  };
  for (const char* text :
       {"GET * HTTP/1.1",        "OPTIONS * HTTP/1.1",     "GET h:80 HTTP/1.1",
        "GET ftp://h/ HTTP/1.1", "GET http:///x HTTP/1.1", "GET http://u@h/ HTTP/1.1",
        "GET /a#b HTTP/1.1",     "GET /\xc3\xbc HTTP/1.1", "GET /?a=%zz HTTP/1.1",
        "GET /?a=%00 HTTP/1.1",  "GET  / HTTP/1.1",        "GET / HTTP/1.1 ",
        "GET /  HTTP/1.1",       "GET / http/1.1",         "GET /",
        "GET / HTTP/1",          "GET / HTTP/1.1x",        " GET / HTTP/1.1",
        "G@T / HTTP/1.1",        "GET\t/ HTTP/1.1"})
    EXPECT_EQ(line(text), 400) << text;
  for (const char* text :
       {"CONNECT h:443 HTTP/1.1", "TRACE / HTTP/1.1", "get / HTTP/1.1", "BREW / HTTP/1.1"})
    EXPECT_EQ(line(text), 501) << text;
  for (const char* text : {"GET / HTTP/2.0", "PRI * HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/1.2"})
    EXPECT_EQ(line(text), 505) << text;
  EXPECT_EQ(verdict("\r\n\r\n\r\n\r\n\r\n\r\n"), 400);
  EXPECT_EQ(verdict("\x16\x03\x01\x02"), 400) << "TLS on a plain port fails at once";
}

TEST(RequestParserTest, OtherExpectations) {
  EXPECT_EQ(verdict(post("Expect: 200-ok\r\n")), 417);
  EXPECT_EQ(verdict(post("Expect: 100-Continue\r\n")), 200);
}

TEST(RequestParserTest, LimitsTheSizes) {
  EXPECT_EQ(
      verdict("GET /" + std::string(kMaxRequestLine - 14, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n"),
      200);
  EXPECT_EQ(
      verdict("GET /" + std::string(kMaxRequestLine - 13, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n"),
      414);
  EXPECT_EQ(verdict("GET /" + std::string(kMaxRequestLine + 2, 'a')), 414);
  EXPECT_EQ(verdict(post("X: " + std::string(kMaxHeaderBytes, 'a') + "\r\n")), 431);
  EXPECT_EQ(verdict(post("X: " + std::string(kMaxHeaderBytes, 'a'))), 431);
  std::string many;
  for (std::size_t i = 0; i + 1 < kMaxHeaderFields; ++i) many += "X: y\r\n";
  EXPECT_EQ(verdict(post(many)), 200);
  EXPECT_EQ(verdict(post(many + "X: y\r\n")), 431);
}

TEST(RequestParserTest, WaitsForTheRest) {
  EXPECT_EQ(verdict(""), 0);
  EXPECT_EQ(verdict("\r"), 0);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: h\r\n"), 0);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: h\r\n\r"), 0);
}

}  // namespace
}  // namespace perdure::http
