// What ends connections and servers: time limits, full houses, the drain.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <set>

#include "http/server_test_support.h"

namespace perdure::http {
namespace {

using testing::Answer;
using testing::echo;
using testing::Gate;
using testing::get;
using ::testing::HasSubstr;
using testing::post;
using testing::post_chunked;
using testing::RawClient;
using ::testing::StartsWith;
using testing::TestServer;
using testing::text_response;

// --- Time ------------------------------------------------------------------------------------

TEST(ServerLifetimeTest, ASlowHeaderIsA408) {
  ServerSettings settings = TestServer::quick();
  settings.header_timeout_ms = 40;
  settings.linger_ms = 10;
  TestServer server(settings);
  server.add("GET", "/", echo);
  RawClient client(server);
  client.send(get("/"));
  EXPECT_EQ(client.read_answer().status, 200);
  // One byte now and then does not buy more time.
  std::string_view endless =
      "GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  std::size_t sent = 0;
  bool closed = server.turn_until([&] {
    if (sent < endless.size()) client.send(endless.substr(sent++, 1));
    return server.server().connections() == 0;
  });
  EXPECT_TRUE(closed);
  EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 408 "));
}

TEST(ServerLifetimeTest, ABodyThatStopsIsA408) {
  ServerSettings settings = TestServer::quick();
  settings.body_idle_timeout_ms = 40;
  TestServer server(settings);
  server.add("POST", "/", echo);
  for (const std::string& request :
       {std::string("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf"),
        post_chunked("/", "a\r\nhalf")}) {
    RawClient client(server);
    client.send(request);
    EXPECT_EQ(client.read_answer().status, 408);
    EXPECT_TRUE(client.closed_by_server());
  }
}

TEST(ServerLifetimeTest, IdleConnectionsAreClosedWithoutAWord) {
  ServerSettings settings = TestServer::quick();
  settings.keep_alive_timeout_ms = 30;
  settings.header_timeout_ms = 30;
  TestServer server(settings);
  server.add("GET", "/", echo);
  RawClient silent(server);
  EXPECT_EQ(silent.read_to_end(), "");
  RawClient used(server);
  used.send(get("/"));
  EXPECT_EQ(used.read_answer().status, 200);
  EXPECT_EQ(used.read_to_end(), "");
  EXPECT_EQ(server.server().connections(), 0u);
}

TEST(ServerLifetimeTest, AHandlerMayTakeLongerThanTheLimitsOfReading) {
  ServerSettings settings = TestServer::quick();
  settings.keep_alive_timeout_ms = settings.header_timeout_ms = settings.body_idle_timeout_ms = 20;
  TestServer server(settings);
  struct Slow {
    static Task<Response> answer(Request) {
      co_await async::sleep_for(100);
      co_return text_response("done");
    }
  };
  server.add("GET", "/", Slow::answer);
  RawClient client(server);
  client.send(get("/"));
  EXPECT_EQ(client.read_answer().body, "done");
}

TEST(ServerLifetimeTest, AClientThatDoesNotReadIsCutOff) {
  ServerSettings settings = TestServer::quick();
  settings.write_timeout_ms = 40;
  settings.send_buffer_bytes = 4096;
  TestServer server(settings);
  struct Large {
    static Task<Response> answer(Request) { co_return text_response(std::string(8 << 20, 'x')); }
  };
  server.add("GET", "/", Large::answer);
  RawClient client(server, 4096);
  client.send(get("/"));
  EXPECT_TRUE(server.turn_until([&] { return server.server().connections() == 1; }));
  EXPECT_TRUE(server.turn_until([&] { return server.server().connections() == 0; }));
}

TEST(ServerLifetimeTest, ARefusedClientCanFinishSendingAndReadTheAnswer) {
  ServerSettings settings = TestServer::quick();
  settings.linger_ms = 60'000;
  TestServer server(settings);
  server.add("POST", "/", echo, 100);
  RawClient client(server);
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\nfirst part");
  EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 413 "));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(client.can_send(std::string(1000, 'x'))) << "a reset could overtake the answer";
    server.turn();
  }
  client.close();
  EXPECT_TRUE(server.turn_until([&] { return server.server().connections() == 0; }));
}

// --- Limits and the end ----------------------------------------------------------------------

TEST(ServerLifetimeTest, ConnectionsOverTheLimitAreTurnedAway) {
  ServerSettings settings = TestServer::quick();
  settings.max_connections = 2;
  settings.linger_ms = 10;
  TestServer server(settings);
  server.add("GET", "/", echo);
  auto one = std::make_unique<RawClient>(server);
  RawClient two(server);
  for (RawClient* client : {one.get(), &two}) {
    client->send(get("/"));
    EXPECT_EQ(client->read_answer().status, 200);
  }
  RawClient three(server);
  three.send(get("/"));
  Answer answer = three.read_answer();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("retry-after"), "1");
  EXPECT_TRUE(three.closed_by_server());
  two.send(get("/"));
  EXPECT_EQ(two.read_answer().status, 200);
  one.reset();
  ASSERT_TRUE(server.turn_until([&] { return server.server().connections() < 2; }));
  RawClient four(server);
  four.send(get("/"));
  EXPECT_EQ(four.read_answer().status, 200);
}

TEST(ServerLifetimeTest, BodiesInFlightAreLimited) {
  ServerSettings settings = TestServer::quick();
  settings.max_body_bytes_in_flight = 1000;
  TestServer server(settings);
  Gate gate(server);
  server.add("POST", "/", [&](Request request) { return gate.wait(std::move(request)); });
  RawClient first(server);
  first.send(post("/", std::string(800, 'x')));
  ASSERT_TRUE(server.turn_until([&] { return gate.entered == 1; }));
  RawClient second(server);
  second.send(post("/", std::string(300, 'x')));
  EXPECT_EQ(second.read_answer().status, 503);
  gate.opened.notify();
  EXPECT_EQ(first.read_answer().status, 200);
  gate.opened.notify();
  first.send(post("/", std::string(900, 'x')));
  EXPECT_EQ(first.read_answer().status, 200) << "what was held is given back";
}

TEST(ServerLifetimeTest, DrainEndsIdleConnectionsAndFinishesRunningRequests) {
  const long tasks_before = async::running_tasks();
  TestServer server;
  Gate gate(server);
  server.add("GET", "/", [&](Request request) { return gate.wait(std::move(request)); });
  RawClient idle(server);
  RawClient busy(server);
  busy.send(get("/"));
  ASSERT_TRUE(
      server.turn_until([&] { return gate.entered == 1 && server.server().connections() == 2; }));
  bool clean = false;
  bool ended = false;
  struct Runner {
    static Task<> run(Server* target, bool* clean_out, bool* ended_out) {
      *clean_out = co_await target->drain(60'000);
      *ended_out = true;
    }
  };
  async::spawn(server.executor(), "drain", Runner::run(&server.server(), &clean, &ended));
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_FALSE(ended);
  gate.opened.notify();
  Answer answer = busy.read_answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("connection"), "close");
  EXPECT_TRUE(busy.closed_by_server());
  EXPECT_TRUE(server.turn_until([&] { return ended; }));
  EXPECT_TRUE(clean);
  EXPECT_TRUE(server.turn_until([&] { return async::running_tasks() == tasks_before; }));
}

TEST(ServerLifetimeTest, DrainCutsOffWhatOutlivesTheDeadline) {
  TestServer server;
  server.add("POST", "/", echo);
  RawClient stuck(server);
  stuck.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
  ASSERT_TRUE(server.turn_until([&] { return server.server().connections() == 1; }));
  server.turn();
  EXPECT_FALSE(server.drain(10));
  EXPECT_EQ(stuck.read_to_end(), "");
  EXPECT_EQ(server.server().connections(), 0u);
}

TEST(ServerLifetimeTest, AStoppedListenerRefusesWhileConnectionsGoOn) {
  TestServer server;
  server.add("GET", "/", echo);
  RawClient client(server);
  client.send(get("/"));
  EXPECT_EQ(client.read_answer().status, 200);
  server.server().stop_accepting();
  server.turn();
  client.send(get("/"));
  EXPECT_EQ(client.read_answer().status, 200);
  TestServer other;  // the port is free again at once
  EXPECT_TRUE(other.server().listen("127.0.0.1", server.port()));
}

TEST(ServerLifetimeTest, ListenSaysWhyItCannot) {
  TestServer server;
  std::uint16_t taken = server.port();
  TestServer other;
  Result<Endpoint> in_use = other.server().listen("127.0.0.1", taken);
  ASSERT_FALSE(in_use);
  EXPECT_EQ(in_use.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(in_use.error().message, HasSubstr("127.0.0.1:" + std::to_string(taken)));
  Result<Endpoint> name = other.server().listen("example.com", 0);
  ASSERT_FALSE(name);
  EXPECT_EQ(name.error().code, ErrorCode::kInvalidArgument);
  Result<Endpoint> localhost = other.server().listen("localhost", 0);
  ASSERT_TRUE(localhost);
  EXPECT_EQ(localhost->host, "127.0.0.1");
  EXPECT_NE(localhost->port, 0);
}

std::set<int> open_sockets() {
  std::set<int> sockets;
  DIR* directory = ::opendir("/proc/self/fd");
  while (dirent* entry = ::readdir(directory)) {
    int fd = std::atoi(entry->d_name);
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0) sockets.insert(fd);
  }
  ::closedir(directory);
  return sockets;
}

TEST(ServerLifetimeTest, NoSocketIsInheritedByChildren) {
  std::set<int> before = open_sockets();
  TestServer server;
  server.add("GET", "/", echo);
  RawClient client(server);
  client.send(get("/"));
  EXPECT_EQ(client.read_answer().status, 200);
  int ours = 0;
  for (int fd : open_sockets()) {
    if (before.contains(fd) || fd == client.fd()) continue;
    ++ours;
    EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC) << "descriptor " << fd;
  }
  EXPECT_EQ(ours, 2) << "the listener and one accepted connection";
}

}  // namespace
}  // namespace perdure::http
