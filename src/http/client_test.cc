#include "http/client.h"

#include <gmock/gmock.h>

#include <string>
#include <thread>

#include "http/client_test_support.h"

namespace perdure::http {
namespace {

using ::testing::HasSubstr;

TEST_F(ClientTest, SendsTheRequestAsGiven) {
  std::string seen;
  ScriptedServer server({[&](ScriptedPeer& peer) {
    seen = peer.read_request();
    peer.send(kOk);
  }});
  ClientRequest post = request(server.url("/v1/x?a=b"), "POST");
  post.headers.add("Authorization", "Bearer t");
  post.headers.add("Content-Type", "application/json");
  post.body = "{\"a\":1}";
  auto answer = wait_for(fetch(client_.get(), std::move(post)));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "ok");
  server.wait_until_closed(1);
  EXPECT_EQ(seen, "POST /v1/x?a=b HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                      "\r\nAuthorization: Bearer t\r\nContent-Type: application/json\r\n"
                      "User-Agent: perdure\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
}

TEST_F(ClientTest, SaysTheLengthOfAnEmptyPostButNotOfAGet) {
  std::string first, second;
  ScriptedServer server({[&](ScriptedPeer& peer) {
    first = peer.read_request();
    peer.send(kOk);
    second = peer.read_request();
    peer.send(kOk);
  }});
  ASSERT_TRUE(post(server.url(), ""));
  ASSERT_TRUE(get(server.url()));
  server.wait_until_closed(1);
  EXPECT_THAT(first, HasSubstr("Content-Length: 0\r\n"));
  EXPECT_THAT(second, Not(HasSubstr("Content-Length")));
}

TEST_F(ClientTest, RefusesRequestsItCannotSend) {
  EXPECT_EQ(code_of(get("ftp://127.0.0.1/")), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(wait_for(fetch(client_.get(), request("http://127.0.0.1:9/", "GET /")))),
            ErrorCode::kInvalidArgument);
  for (auto [name, value] : {std::pair{"X", "a\r\nEvil: 1"},
                             {"X", "a\n"},
                             {"X y", "a"},
                             {"", "a"},
                             {"Host", "other"},
                             {"content-length", "3"},
                             {"Connection", "close"},
                             {"Transfer-Encoding", "chunked"}}) {
    ClientRequest bad = request("http://127.0.0.1:9/", "POST");
    bad.headers.add(name, value);
    EXPECT_EQ(code_of(wait_for(fetch(client_.get(), std::move(bad)))), ErrorCode::kInvalidArgument)
        << name;
  }
}

TEST_F(ClientTest, SendsAndReadsLargeBodies) {
  std::string large(8 << 20, 'x');
  for (std::size_t i = 0; i < large.size(); i += 1000) large[i] = static_cast<char>('a' + i % 23);
  std::string seen;
  ScriptedServer server({[&](ScriptedPeer& peer) {
    seen = peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(large.size()) + "\r\n\r\n" +
              large);
  }});
  auto answer = post(server.url(), large);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->body == large);
  server.wait_until_closed(1);
  EXPECT_THAT(seen.size(), testing::Gt(large.size()));
  EXPECT_TRUE(seen.ends_with(large));
}

TEST_F(ClientTest, HearsAnAnswerThatComesBeforeTheRequestIsSent) {
  ScriptedServer server({[](ScriptedPeer& peer) {
    peer.read_head();
    peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
    peer.wait_for_close();
  }});
  auto answer = post(server.url(), std::string(64 << 20, 'x'));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 413);
  EXPECT_EQ(answer->body, "no!");
  server.wait_until_closed(1);  // half a request stands on it: no other may follow
}

TEST_F(ClientTest, ReadsEveryKindOfBody) {
  EXPECT_EQ(answer_to("GET", kOk)->body, "ok");
  EXPECT_EQ(answer_to("GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end")->body, "until the end");
  EXPECT_EQ(answer_to("GET", "HTTP/1.0 200 OK\r\n\r\n")->body, "");
  EXPECT_EQ(answer_to("GET",
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "5;x=y\r\nhello\r\n1\r\n \r\n0005\r\nworld\r\n0\r\nTrailer: t\r\n\r\n")
                ->body,
            "hello world");
  EXPECT_EQ(answer_to("GET", "HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n")->status, 500);
}

TEST_F(ClientTest, GivesHeaderFieldsInOrder) {
  auto answer =
      answer_to("GET", "HTTP/1.1 200 OK\r\nB: 1\r\na:  two \r\nB: 3\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->headers.get("A"), "two");
  EXPECT_EQ(answer->headers.count("b"), 2u);
  EXPECT_EQ(answer->headers.all().front().second, "1");
}

TEST_F(ClientTest, SkipsInterimAnswers) {
  auto answer =
      answer_to("POST", std::string("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
                                    "Link: </x>\r\n\r\n") +
                            kOk);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "ok");
  std::string many;
  for (int i = 0; i < 100; ++i) many += "HTTP/1.1 102 Processing\r\n\r\n";
  EXPECT_EQ(code_of(answer_to("POST", many + kOk)), ErrorCode::kUpstream);
  EXPECT_EQ(code_of(answer_to("GET", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n")),
            ErrorCode::kUpstream);
}

TEST_F(ClientTest, DoesNotFollowRedirects) {
  auto answer = answer_to(
      "GET", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 302);
  EXPECT_EQ(answer->headers.get("location"), "http://127.0.0.1:1/");
}

TEST_F(ClientTest, KnowsAnswersWithoutABody) {
  ScriptedServer server({[](ScriptedPeer& peer) {
    for (const char* answer :
         {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n",
          "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", kOk}) {
      peer.read_request();
      peer.send(answer);
    }
  }});
  auto head = wait_for(fetch(client_.get(), request(server.url(), "HEAD")));
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->body, "");
  EXPECT_EQ(get(server.url())->status, 204);
  EXPECT_EQ(get(server.url())->status, 304);
  EXPECT_EQ(get(server.url())->body, "ok");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, UnderstandsAnAnswerCutAnywhere) {
  std::string bytes =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
      "4\r\nwiki\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
  ScriptedServer server({[&](ScriptedPeer& peer) {
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      peer.read_request();
      peer.send(bytes.substr(0, cut));
      std::this_thread::yield();
      peer.send(bytes.substr(cut));
    }
    peer.read_request();
    for (char c : bytes) {
      peer.send({&c, 1});
      std::this_thread::yield();
    }
  }});
  for (std::size_t cut = 0; cut <= bytes.size() + 1; ++cut) {
    auto answer = get(server.url());
    ASSERT_TRUE(answer) << answer.error().message;
    ASSERT_EQ(answer->body, "wiki0123456789abcdef") << cut;
    ASSERT_EQ(answer->headers.get("x-a"), "b") << cut;
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, GivesPiecesAsTheyArrive) {
  ScriptedServer server({[&](ScriptedPeer& peer) {
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    peer.read_request();  // nothing: ends when the client closes
  }});
  auto response = wait_for(client_->send(request(server.url(), "GET")));
  ASSERT_TRUE(response);
  auto piece = wait_for((*response)->read());
  ASSERT_TRUE(piece);
  EXPECT_EQ(*piece, "first");
}

TEST_F(ClientTest, AnAnswerCutOffIsUpstream) {
  for (const char* bytes :
       {"", "HT", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n"})
    EXPECT_EQ(code_of(answer_to("GET", bytes)), ErrorCode::kUpstream) << bytes;
}

TEST_F(ClientTest, ABrokenAnswerIsUpstream) {
  for (const char* bytes :
       {"220 smtp.example ESMTP\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n"})
    EXPECT_EQ(code_of(answer_to("GET", bytes)), ErrorCode::kUpstream) << bytes;
}

TEST_F(ClientTest, HoldsTheHeaderLimits) {
  std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
  EXPECT_TRUE(answer_to("GET", head + "X: " + std::string(50'000, 'x') + "\r\n\r\n"));
  EXPECT_EQ(code_of(answer_to("GET", head + "X: " + std::string(70'000, 'x') + "\r\n\r\n")),
            ErrorCode::kUpstream);
  EXPECT_EQ(code_of(answer_to("GET", head + std::string(1 << 20, 'x'))), ErrorCode::kUpstream);
  std::string fields;
  for (int i = 0; i < 200; ++i) fields += "X: y\r\n";
  EXPECT_EQ(code_of(answer_to("GET", head + fields + "\r\n")), ErrorCode::kUpstream);
}

TEST_F(ClientTest, ReadAllHoldsItsLimit) {
  ScriptedServer server({always(kOk), always(kOk)});
  auto exact = wait_for(client_->send(request(server.url(), "GET")));
  EXPECT_EQ(wait_for((*exact)->read_all(2)).value_or(""), "ok");
  auto over = wait_for(client_->send(request(server.url(), "GET")));
  auto body = wait_for((*over)->read_all(1));
  ASSERT_FALSE(body);
  EXPECT_EQ(body.error().code, ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace perdure::http
