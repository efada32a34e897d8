#include "http/client.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <future>
#include <stop_token>

#include "http/scripted_server.h"

namespace perdure::http {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct Answer {
  int status = 0;
  Headers headers;
  std::string body;
};

/// Whatever it answers, as a whole.
Task<Result<Answer>> fetch(Client* client, ClientRequest request) {
  CO_TRY(response, co_await client->send(std::move(request)));
  Answer answer{response->status(), response->headers(), {}};
  CO_TRY(body, co_await response->read_all(64 << 20));
  answer.body = std::move(body);
  co_return answer;
}

class ClientTest : public testing::Test {
 protected:
  explicit ClientTest(ClientSettings settings = {}) { use(std::move(settings)); }

  void use(ClientSettings settings) {
    client_ = make_client(loop_.get_executor(), std::move(settings));
  }

  /// Runs the loop until the task has ended.
  template <class T>
  T wait_for(Task<T> task) {
    std::optional<T> value;
    boost::asio::co_spawn(loop_, std::move(task), [&](std::exception_ptr error, T result) {
      if (error) std::rethrow_exception(error);
      value = std::move(result);
    });
    run_until([&] { return value.has_value(); });
    return std::move(*value);
  }

  /// Starts a task whose value lands in `slot`; the loop must run for it to go on.
  template <class T>
  void start(Task<T> task, std::optional<T>* slot) {
    boost::asio::co_spawn(loop_, std::move(task), [slot](std::exception_ptr error, T result) {
      if (error) std::rethrow_exception(error);
      *slot = std::move(result);
    });
  }

  /// The condition may be about the server's threads, so the loop is left now and then.
  template <class Condition>
  void run_until(Condition condition) {
    while (!condition()) {
      if (loop_.stopped()) loop_.restart();
      loop_.run_one_for(std::chrono::milliseconds(1));
    }
  }

  Result<Answer> get(const std::string& url) {
    return wait_for(fetch(client_.get(), request(url, "GET")));
  }
  Result<Answer> post(const std::string& url, std::string body = "{}") {
    ClientRequest post = request(url, "POST");
    post.body = std::move(body);
    return wait_for(fetch(client_.get(), std::move(post)));
  }
  /// What a server that sends these bytes and closes is understood to have answered.
  Result<Answer> answer_to(std::string method, std::string bytes) {
    ScriptedServer server({[&](ScriptedPeer& peer) {
      peer.read_request();
      peer.send(bytes);
    }});
    return wait_for(fetch(client_.get(), request(server.url(), std::move(method))));
  }
  ErrorCode code_of(const Result<Answer>& answer) {
    EXPECT_FALSE(answer) << answer->status << ' ' << answer->body;
    return answer ? ErrorCode::kInternal : answer.error().code;
  }

  static ClientRequest request(std::string url, std::string method) {
    ClientRequest request;
    request.method = std::move(method);
    request.url = std::move(url);
    return request;
  }

  boost::asio::io_context loop_;
  std::unique_ptr<Client> client_;
};

// --- Requests -----------------------------------------------------------------------------------

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
}

// --- Answers ------------------------------------------------------------------------------------

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

// --- Connections --------------------------------------------------------------------------------

TEST_F(ClientTest, ReusesConnections) {
  ScriptedServer server({always(kOk)});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(post(server.url())->body, "ok");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, DoesNotReuseWhatTheServerCloses) {
  const char* closing =
      "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\nok";
  const char* old = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
  const char* surplus = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n";
  ScriptedServer server({always(closing), always(old), always(surplus), always(kOk)});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(post(server.url())->body, "ok");
  EXPECT_EQ(server.connections(), 4);
}

TEST_F(ClientTest, ReusesAnOldServersConnectionIfItSaysSo) {
  ScriptedServer server(
      {always("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(post(server.url())->body, "ok");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, APostGoesElsewhereIfThePooledConnectionWasClosed) {
  std::string second;
  ScriptedServer server({[](ScriptedPeer& peer) {
                           peer.read_request();
                           peer.send(kOk);
                         },
                         [&](ScriptedPeer& peer) {
                           second = peer.read_request();
                           peer.send(kOk);
                         }});
  ASSERT_TRUE(post(server.url(), "one"));
  server.wait_until_closed(1);
  auto answer = post(server.url(), "two");
  ASSERT_TRUE(answer) << answer.error().message;
  server.wait_until_closed(2);
  EXPECT_THAT(second, EndsWith("two"));
}

TEST_F(ClientTest, DropsAPooledConnectionOnWhichTheServerSpoke) {
  ScriptedServer server({[](ScriptedPeer& peer) {
                           peer.read_request();
                           peer.send(kOk);
                           peer.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
                         },
                         always(kOk)});
  ASSERT_TRUE(post(server.url()));
  server.wait_until_closed(1);
  EXPECT_EQ(post(server.url())->status, 200);
}

TEST_F(ClientTest, RepeatsOnlySafeRequestsWhenAPooledConnectionDies) {
  auto dies_on_the_second = [](ScriptedPeer& peer) {
    peer.read_request();
    peer.send(kOk);
    peer.read_request();
  };
  {
    ScriptedServer server({dies_on_the_second, always(kOk)});
    ASSERT_TRUE(get(server.url()));
    EXPECT_EQ(get(server.url())->body, "ok");
    EXPECT_EQ(server.connections(), 2);
  }
  {
    ScriptedServer server({dies_on_the_second, always(kOk)});
    ASSERT_TRUE(post(server.url()));
    EXPECT_EQ(code_of(post(server.url())), ErrorCode::kUpstream);
    EXPECT_EQ(server.connections(), 1);
  }
}

TEST_F(ClientTest, DoesNotRepeatAGetThatWasHalfAnswered) {
  ScriptedServer server({[](ScriptedPeer& peer) {
                           peer.read_request();
                           peer.send(kOk);
                           peer.read_request();
                           peer.send("HTTP/1.1 2");
                         },
                         always(kOk)});
  ASSERT_TRUE(get(server.url()));
  EXPECT_EQ(code_of(get(server.url())), ErrorCode::kUpstream);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, ANewConnectionThatDiesIsNotTriedAgain) {
  ScriptedServer server({[](ScriptedPeer& peer) { peer.read_request(); }, always(kOk)});
  EXPECT_EQ(code_of(get(server.url())), ErrorCode::kUpstream);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, ServesManyAtOnce) {
  std::vector<ScriptedServer::Script> scripts(40, always(kOk));
  ScriptedServer server(scripts);
  std::vector<std::optional<Result<Answer>>> answers(40);
  for (auto& answer : answers) start(fetch(client_.get(), request(server.url(), "GET")), &answer);
  run_until([&] { return std::ranges::all_of(answers, [](auto& a) { return a.has_value(); }); });
  for (auto& answer : answers) {
    ASSERT_TRUE(*answer) << answer->error().message;
    EXPECT_EQ((*answer)->body, "ok");
  }
}

TEST_F(ClientTest, KeepsNoMoreIdleConnectionsThanAllowed) {
  use({.idle_connections_per_host = 1});
  ScriptedServer server({always(kOk), always(kOk), always(kOk)});
  std::optional<Result<Answer>> first, second;
  start(fetch(client_.get(), request(server.url(), "GET")), &first);
  start(fetch(client_.get(), request(server.url(), "GET")), &second);
  run_until([&] { return first && second; });
  server.wait_until_closed(1);
  ASSERT_TRUE(get(server.url()));
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(ClientTest, ClosesIdleConnectionsInTime) {
  use({.idle_connection_ms = 1});
  bool closed = false;
  ScriptedServer server({[&](ScriptedPeer& peer) {
    peer.read_request();
    peer.send(kOk);
    closed = peer.wait_for_close();
  }});
  ASSERT_TRUE(get(server.url()));
  loop_.restart();
  loop_.run();  // ends when nothing is kept any more
  server.wait_until_closed(1);
  EXPECT_TRUE(closed);
}

TEST_F(ClientTest, ClosesIdleConnectionsWhenItGoes) {
  ScriptedServer server({always(kOk)});
  ASSERT_TRUE(get(server.url()));
  client_ = nullptr;
  server.wait_until_closed(1);
}

TEST_F(ClientTest, ARefusedConnectionIsUpstream) {
  std::string url;
  {
    ScriptedServer server({});
    url = server.url();
  }
  auto answer = get(url);
  EXPECT_EQ(code_of(answer), ErrorCode::kUpstream);
  EXPECT_THAT(answer.error().message, StartsWith(url.substr(0, url.size() - 1)));
}

TEST_F(ClientTest, ReachesLocalhostByName) {
  ScriptedServer server({always(kOk)});
  EXPECT_EQ(get("http://localhost:" + std::to_string(server.port()) + "/")->body, "ok");
}

TEST_F(ClientTest, LeavesNoDescriptorToChildren) {
  ScriptedServer server({always("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")});
  auto response = wait_for(client_->send(request(server.url(), "GET")));
  ASSERT_TRUE(response);
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    int descriptor = std::stoi(entry.path().filename());
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) != 0 ||
        ntohs(peer.sin_port) != server.port())
      continue;
    ++found;
    EXPECT_NE(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(found, 1);
}

// --- Deadlines and cancellation -----------------------------------------------------------------

/// Answers with these bytes and then says nothing until the client has closed.
ScriptedServer::Script falls_silent_after(std::string bytes) {
  return [bytes](ScriptedPeer& peer) {
    peer.read_request();
    peer.send(bytes);
    peer.wait_for_close();
  };
}

TEST_F(ClientTest, SilenceBeforeTheAnswerMeetsTheHeadersDeadline) {
  for (std::string bytes : {"", "HTTP/1.1 200 OK\r\nX:", "HTTP/1.1 100 Continue\r\n\r\n"}) {
    ScriptedServer server({falls_silent_after(bytes)});
    ClientRequest get = request(server.url(), "GET");
    get.timeouts.headers_ms = 30;
    auto answer = wait_for(fetch(client_.get(), std::move(get)));
    EXPECT_EQ(code_of(answer), ErrorCode::kDeadlineExceeded);
    EXPECT_THAT(answer.error().message, HasSubstr("waiting for the answer took longer than 30 ms"));
    server.wait_until_closed(1);
  }
}

TEST_F(ClientTest, AServerThatDoesNotReadMeetsTheHeadersDeadline) {
  std::promise<void> given_up;
  ScriptedServer server({[&](ScriptedPeer&) { given_up.get_future().wait(); }});
  ClientRequest post = request(server.url(), "POST");
  post.body = std::string(64 << 20, 'x');
  post.timeouts.headers_ms = 30;
  EXPECT_EQ(code_of(wait_for(fetch(client_.get(), std::move(post)))), ErrorCode::kDeadlineExceeded);
  given_up.set_value();
}

TEST_F(ClientTest, SilenceWithinTheBodyMeetsTheIdleDeadline) {
  for (std::string head : {"Content-Length: 9\r\n\r\n12345",
                           "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "\r\n12345"}) {
    ScriptedServer server({falls_silent_after("HTTP/1.1 200 OK\r\n" + head)});
    ClientRequest get = request(server.url(), "GET");
    get.timeouts.idle_ms = 30;
    auto response = wait_for(client_->send(std::move(get)));
    ASSERT_TRUE(response);
    EXPECT_EQ(wait_for((*response)->read()).value(), "12345");
    for (int again = 0; again < 2; ++again) {
      auto piece = wait_for((*response)->read());
      ASSERT_FALSE(piece);
      EXPECT_EQ(piece.error().code, ErrorCode::kDeadlineExceeded);
    }
    server.wait_until_closed(1);
  }
}

TEST_F(ClientTest, AStoppedRequestIsCancelledInEveryPhase) {
  ScriptedServer server(
      {falls_silent_after(""), falls_silent_after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")});
  for (bool with_head : {false, true}) {
    std::stop_source source;
    ClientRequest get = request(server.url(), "GET");
    get.stop = source.get_token();
    std::optional<Result<Answer>> answer;
    start(fetch(client_.get(), std::move(get)), &answer);
    run_until([&] { return server.connections() == 1 + with_head; });
    source.request_stop();
    run_until([&] { return answer.has_value(); });
    EXPECT_EQ(code_of(*answer), ErrorCode::kCancelled);
    server.wait_until_closed(1 + with_head);
  }
  std::stop_source before;
  before.request_stop();
  ClientRequest get = request(server.url(), "GET");
  get.stop = before.get_token();
  EXPECT_EQ(code_of(wait_for(fetch(client_.get(), std::move(get)))), ErrorCode::kCancelled);
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(ClientTest, CancelEndsASuspendedRead) {
  ScriptedServer server({falls_silent_after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")});
  auto response = wait_for(client_->send(request(server.url(), "GET")));
  ASSERT_TRUE(response);
  std::optional<Result<std::optional<std::string>>> piece;
  start((*response)->read(), &piece);
  loop_.poll();
  (*response)->cancel();
  run_until([&] { return piece.has_value(); });
  ASSERT_FALSE(*piece);
  EXPECT_EQ(piece->error().code, ErrorCode::kCancelled);
  EXPECT_EQ(wait_for((*response)->read()).error().code, ErrorCode::kCancelled);
  server.wait_until_closed(1);
}

TEST_F(ClientTest, DestroyingAResponseClosesItsConnection) {
  ScriptedServer server({falls_silent_after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12"),
                         falls_silent_after("HTTP/1.1 200 OK\r\n\r\n")});
  auto unread = wait_for(client_->send(request(server.url(), "GET")));
  unread->reset();
  server.wait_until_closed(1);

  auto reading = wait_for(client_->send(request(server.url(), "GET")));
  std::optional<Result<std::optional<std::string>>> piece;
  start((*reading)->read(), &piece);
  loop_.restart();
  loop_.poll();
  reading->reset();
  run_until([&] { return piece.has_value(); });
  EXPECT_EQ(piece->error().code, ErrorCode::kCancelled);
  server.wait_until_closed(2);
}

TEST_F(ClientTest, AResponseOutlivesItsClient) {
  ScriptedServer server({always(kOk)});
  auto response = wait_for(client_->send(request(server.url(), "GET")));
  client_ = nullptr;
  EXPECT_EQ(wait_for((*response)->read_all(10)).value(), "ok");
  server.wait_until_closed(1);
}

// --- TLS ----------------------------------------------------------------------------------------

class ClientTlsTest : public ClientTest {
 protected:
  TestAuthority authority_{"DNS:localhost,IP:127.0.0.1"};

  std::string by_name(const ScriptedServer& server) {
    return "https://localhost:" + std::to_string(server.port()) + "/";
  }
};

TEST_F(ClientTlsTest, TalksToATrustedServer) {
  use({.ca_file = authority_.ca_file()});
  ScriptedServer server({always(kOk)}, authority_.server_context());
  for (int i = 0; i < 3; ++i) {
    auto answer = post(by_name(server));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->body, "ok");
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTlsTest, VerifiesAddressesToo) {
  use({.ca_file = authority_.ca_file()});
  ScriptedServer server({always(kOk)}, authority_.server_context());
  EXPECT_EQ(get(server.url())->body, "ok");
}

TEST_F(ClientTlsTest, RefusesACertificateForAnotherHost) {
  TestAuthority other("DNS:other.example,DNS:*.localhost,IP:127.0.0.2");
  use({.ca_file = other.ca_file()});
  ScriptedServer server({always(kOk), always(kOk)}, other.server_context());
  for (const std::string& url : {by_name(server), server.url()}) {
    auto answer = get(url);
    EXPECT_EQ(code_of(answer), ErrorCode::kUpstream);
    EXPECT_THAT(answer.error().message, HasSubstr("mismatch"));
  }
}

TEST_F(ClientTlsTest, RefusesAnUntrustedAuthority) {
  TestAuthority other("DNS:localhost");
  for (std::string ca_file : {other.ca_file(), std::string()}) {
    use({.ca_file = ca_file});
    ScriptedServer server({always(kOk)}, authority_.server_context());
    auto answer = get(by_name(server));
    EXPECT_EQ(code_of(answer), ErrorCode::kUpstream);
    EXPECT_THAT(answer.error().message, HasSubstr("certificate"));
  }
}

TEST_F(ClientTlsTest, RefusesAPlainServer) {
  ScriptedServer server(
      {[](ScriptedPeer& peer) { peer.send("HTTP/1.1 400 Bad Request\r\n\r\n"); }});
  EXPECT_EQ(code_of(get("https://127.0.0.1:" + std::to_string(server.port()))),
            ErrorCode::kUpstream);
}

TEST_F(ClientTlsTest, AStalledHandshakeMeetsTheConnectDeadline) {
  ScriptedServer server(
      {[](ScriptedPeer& peer) { peer.wait_for_close(); }});  // reads, never answers
  ClientRequest stalled =
      request("https://127.0.0.1:" + std::to_string(server.port()) + "/", "GET");
  stalled.timeouts.connect_ms = 30;
  auto answer = wait_for(fetch(client_.get(), std::move(stalled)));
  EXPECT_EQ(code_of(answer), ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(answer.error().message, HasSubstr("connecting took longer than 30 ms"));
  server.wait_until_closed(1);
}

TEST_F(ClientTlsTest, MovesLargeBodies) {
  use({.ca_file = authority_.ca_file()});
  std::string large(3 << 20, 'y');
  std::size_t seen = 0;
  ScriptedServer server({[&](ScriptedPeer& peer) {
                          seen = peer.read_request().size();
                          peer.send("HTTP/1.1 200 OK\r\n\r\n" + large);
                        }},
                        authority_.server_context());
  auto answer = post(by_name(server), large);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->body == large);
  server.wait_until_closed(1);
  EXPECT_GT(seen, large.size());
}

TEST_F(ClientTlsTest, TakesOnlyTheProperEndOfTlsForTheEndOfABody) {
  use({.ca_file = authority_.ca_file()});
  ScriptedServer server({[](ScriptedPeer& peer) {
                           peer.read_request();
                           peer.send("HTTP/1.1 200 OK\r\n\r\nall of it");
                         },
                         [](ScriptedPeer& peer) {
                           peer.read_request();
                           peer.send("HTTP/1.1 200 OK\r\n\r\nhalf of");
                           peer.leave_without_tls_end();
                         }},
                        authority_.server_context());
  EXPECT_EQ(get(by_name(server))->body, "all of it");
  EXPECT_EQ(code_of(get(by_name(server))), ErrorCode::kUpstream);
}

TEST_F(ClientTlsTest, ABadTrustFileIsSaidAtOnce) {
  EXPECT_THROW(use({.ca_file = "/nonexistent/ca.pem"}), std::runtime_error);
}

}  // namespace
}  // namespace perdure::http
