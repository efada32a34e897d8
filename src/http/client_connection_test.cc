// How the client keeps, repeats, limits and ends connections.
#include "http/client_connection.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <stop_token>
#include <vector>

#include "http/client_test_support.h"

namespace perdure::http {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ClientConnectionTest : public ClientTest {};

TEST_F(ClientConnectionTest, ReusesConnections) {
  ScriptedServer server({always(kOk)});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(post(server.url())->body, "ok");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientConnectionTest, DoesNotReuseWhatTheServerCloses) {
  const char* closing =
      "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\nok";
  const char* old = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
  const char* surplus = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n";
  ScriptedServer server({always(closing), always(old), always(surplus), always(kOk)});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(post(server.url())->body, "ok");
  EXPECT_EQ(server.connections(), 4);
}

TEST_F(ClientConnectionTest, ReusesAnOldServersConnectionIfItSaysSo) {
  ScriptedServer server(
      {always("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(post(server.url())->body, "ok");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientConnectionTest, APostGoesElsewhereIfThePooledConnectionWasClosed) {
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

TEST_F(ClientConnectionTest, DropsAPooledConnectionOnWhichTheServerSpoke) {
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

TEST_F(ClientConnectionTest, RepeatsOnlySafeRequestsWhenAPooledConnectionDies) {
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

TEST_F(ClientConnectionTest, DoesNotRepeatAGetThatWasHalfAnswered) {
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

TEST_F(ClientConnectionTest, ANewConnectionThatDiesIsNotTriedAgain) {
  ScriptedServer server({[](ScriptedPeer& peer) { peer.read_request(); }, always(kOk)});
  EXPECT_EQ(code_of(get(server.url())), ErrorCode::kUpstream);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientConnectionTest, ServesManyAtOnce) {
  std::vector<ScriptedServer::Script> scripts(40, always(kOk));
  ScriptedServer server(scripts);
  std::vector<std::optional<Result<WholeAnswer>>> answers(40);
  for (auto& answer : answers) start(fetch(client_.get(), request(server.url(), "GET")), &answer);
  run_until([&] { return std::ranges::all_of(answers, [](auto& a) { return a.has_value(); }); });
  for (auto& answer : answers) {
    ASSERT_TRUE(*answer) << answer->error().message;
    EXPECT_EQ((*answer)->body, "ok");
  }
}

TEST_F(ClientConnectionTest, KeepsNoMoreIdleConnectionsThanAllowed) {
  use({.idle_connections_per_host = 1});
  ScriptedServer server({always(kOk), always(kOk), always(kOk)});
  std::optional<Result<WholeAnswer>> first, second;
  start(fetch(client_.get(), request(server.url(), "GET")), &first);
  start(fetch(client_.get(), request(server.url(), "GET")), &second);
  run_until([&] { return first && second; });
  server.wait_until_closed(1);
  ASSERT_TRUE(get(server.url()));
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(ClientConnectionTest, ClosesIdleConnectionsInTime) {
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

TEST_F(ClientConnectionTest, ClosesIdleConnectionsWhenItGoes) {
  ScriptedServer server({always(kOk)});
  ASSERT_TRUE(get(server.url()));
  client_ = nullptr;
  server.wait_until_closed(1);
}

TEST_F(ClientConnectionTest, ARefusedConnectionIsUpstream) {
  std::string url;
  {
    ScriptedServer server({});
    url = server.url();
  }
  auto answer = get(url);
  EXPECT_EQ(code_of(answer), ErrorCode::kUpstream);
  EXPECT_THAT(error_of(answer).message, StartsWith(url.substr(0, url.size() - 1)));
}

TEST_F(ClientConnectionTest, ReachesLocalhostByName) {
  ScriptedServer server({always(kOk)});
  EXPECT_EQ(get("http://localhost:" + std::to_string(server.port()) + "/")->body, "ok");
}

TEST_F(ClientConnectionTest, LeavesNoDescriptorToChildren) {
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

/// Answers with these bytes and then says nothing until the client has closed.
ScriptedServer::Script falls_silent_after(std::string bytes) {
  return [bytes](ScriptedPeer& peer) {
    peer.read_request();
    peer.send(bytes);
    peer.wait_for_close();
  };
}

TEST_F(ClientConnectionTest, SilenceBeforeTheAnswerMeetsTheHeadersDeadline) {
  for (std::string bytes : {"", "HTTP/1.1 200 OK\r\nX:", "HTTP/1.1 100 Continue\r\n\r\n"}) {
    ScriptedServer server({falls_silent_after(bytes)});
    ClientRequest get = request(server.url(), "GET");
    get.timeouts.headers_ms = 30;
    auto answer = wait_for(fetch(client_.get(), std::move(get)));
    EXPECT_EQ(code_of(answer), ErrorCode::kDeadlineExceeded);
    EXPECT_THAT(error_of(answer).message,
                HasSubstr("waiting for the answer took longer than 30 ms"));
    server.wait_until_closed(1);
  }
}

TEST_F(ClientConnectionTest, AServerThatDoesNotReadMeetsTheHeadersDeadline) {
  std::promise<void> given_up;
  ScriptedServer server({[&](ScriptedPeer&) { given_up.get_future().wait(); }});
  ClientRequest post = request(server.url(), "POST");
  post.body = std::string(64 << 20, 'x');
  post.timeouts.headers_ms = 30;
  EXPECT_EQ(code_of(wait_for(fetch(client_.get(), std::move(post)))), ErrorCode::kDeadlineExceeded);
  given_up.set_value();
}

TEST_F(ClientConnectionTest, SilenceWithinTheBodyMeetsTheIdleDeadline) {
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

TEST_F(ClientConnectionTest, AStoppedRequestIsCancelledInEveryPhase) {
  ScriptedServer server(
      {falls_silent_after(""), falls_silent_after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")});
  for (bool with_head : {false, true}) {
    std::stop_source source;
    ClientRequest get = request(server.url(), "GET");
    get.stop = source.get_token();
    std::optional<Result<WholeAnswer>> answer;
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

TEST_F(ClientConnectionTest, CancelEndsASuspendedRead) {
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

TEST_F(ClientConnectionTest, DestroyingAResponseClosesItsConnection) {
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

TEST_F(ClientConnectionTest, AResponseOutlivesItsClient) {
  ScriptedServer server({always(kOk)});
  auto response = wait_for(client_->send(request(server.url(), "GET")));
  client_ = nullptr;
  EXPECT_EQ(wait_for((*response)->read_all(10)).value(), "ok");
  server.wait_until_closed(1);
}

}  // namespace
}  // namespace perdure::http
