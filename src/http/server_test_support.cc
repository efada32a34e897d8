#include "http/server_test_support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "http/chunk_decoder.h"

namespace perdure::http::testing {

using Clock = std::chrono::steady_clock;

RawClient::RawClient(TestServer& server, int receive_buffer) : server_(server) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0)
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

RawClient::~RawClient() {
  close();
}

void RawClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void RawClient::finish_sending() {
  ::shutdown(fd_, SHUT_WR);
}

void RawClient::send(std::string_view text) {
  auto deadline = Clock::now() + kPatience;
  while (!text.empty() && Clock::now() < deadline) {
    ssize_t count = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
    if (count < 0 && errno != EAGAIN) return;  // the server closed: what it said can be read
    if (!text.empty()) server_.turn();
  }
}

bool RawClient::can_send(std::string_view text) {
  return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

void RawClient::send_byte_by_byte(std::string_view text) {
  for (char c : text) {
    send(std::string_view(&c, 1));
    server_.turn();
  }
}

bool RawClient::receive() {
  char block[16384];
  ssize_t count = ::recv(fd_, block, sizeof block, MSG_DONTWAIT);
  if (count > 0) received_.append(block, static_cast<std::size_t>(count));
  if (count == 0 || (count < 0 && errno != EAGAIN)) ended_ = true;
  return count > 0;
}

std::string RawClient::read_until(std::string_view text) {
  bool found = server_.turn_until([&] {
    while (receive()) {
    }
    return received_.find(text) != std::string::npos || ended_;
  });
  EXPECT_TRUE(found && received_.find(text) != std::string::npos)
      << "waited for \"" << text << "\", received: " << received_;
  return std::exchange(received_, {});
}

std::string RawClient::read_to_end() {
  EXPECT_TRUE(closed_by_server());
  return std::exchange(received_, {});
}

bool RawClient::closed_by_server() {
  return server_.turn_until([&] {
    while (receive()) {
    }
    return ended_;
  });
}

Answer RawClient::read_answer(bool head) {
  Answer answer;
  std::size_t head_end = std::string::npos;
  bool whole = server_.turn_until([&] {
    while (receive()) {
    }
    head_end = received_.find("\r\n\r\n");
    return head_end != std::string::npos || ended_;
  });
  if (!whole || head_end == std::string::npos) {
    ADD_FAILURE() << "no answer came; received: " << received_;
    return answer;
  }
  std::string_view text(received_.data(), head_end + 2);
  std::from_chars(text.data() + 9, text.data() + 12, answer.status);
  text.remove_prefix(text.find("\r\n") + 2);
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find("\r\n"));
    text.remove_prefix(line.size() + 2);
    std::size_t colon = line.find(": ");
    answer.headers.add(std::string(line.substr(0, colon)), std::string(line.substr(colon + 2)));
  }
  received_.erase(0, head_end + 4);
  if (head || answer.status / 100 == 1) return answer;

  if (answer.headers.get("transfer-encoding")) {
    ChunkDecoder decoder(64 << 20);
    auto state = ChunkDecoder::State::kMore;
    whole = server_.turn_until([&] {
      while (receive()) {
      }
      std::size_t consumed = 0;
      state = decoder.decode(received_, consumed, answer.body);
      received_.erase(0, consumed);
      return state != ChunkDecoder::State::kMore || ended_;
    });
    EXPECT_EQ(state, ChunkDecoder::State::kDone) << "the body is cut off: " << answer.body;
    return answer;
  }
  std::size_t length = 0;
  if (auto value = answer.headers.get("content-length"))
    std::from_chars(value->data(), value->data() + value->size(), length);
  whole = server_.turn_until([&] {
    while (receive()) {
    }
    return received_.size() >= length || ended_;
  });
  EXPECT_GE(received_.size(), length) << "the body is cut off";
  answer.body = received_.substr(0, length);
  received_.erase(0, length);
  return answer;
}

TestServer::TestServer(ServerSettings settings, Hooks hooks) {
  server_ = std::make_unique<Server>(env_, executor(), router_, settings, std::move(hooks));
}

TestServer::~TestServer() {
  server_.reset();
  turn();
}

ServerSettings TestServer::quick() {
  ServerSettings settings;
  settings.sweep_ms = 2;
  return settings;
}

void TestServer::add(std::string method, std::string path, Handler handler, std::size_t max_body) {
  Route route;
  route.method = std::move(method);
  route.path = std::move(path);
  route.max_body = max_body;
  route.handler = std::move(handler);
  router_.add(std::move(route));
}

std::uint16_t TestServer::port() {
  if (port_ == 0) {
    Result<Endpoint> endpoint = server_->listen("127.0.0.1", 0);
    EXPECT_TRUE(endpoint) << endpoint.error().message;
    port_ = endpoint->port;
  }
  return port_;
}

bool TestServer::turn_until(const std::function<bool()>& done) {
  auto deadline = Clock::now() + kPatience;
  while (!done()) {
    if (Clock::now() > deadline) return false;
    loop_.restart();
    loop_.run_one_for(std::chrono::milliseconds(2));
  }
  return true;
}

void TestServer::turn() {
  loop_.restart();
  loop_.poll();
}

bool TestServer::drain(std::int64_t deadline_ms) {
  struct Outcome {
    bool ended = false;
    bool clean = false;
  } outcome;
  struct Runner {
    static Task<> run(Server* server, std::int64_t limit, Outcome* out) {
      out->clean = co_await server->drain(limit);
      out->ended = true;
    }
  };
  async::spawn(executor(), "drain", Runner::run(server_.get(), deadline_ms, &outcome));
  EXPECT_TRUE(turn_until([&] { return outcome.ended; }));
  return outcome.clean;
}

Task<Response> echo(Request request) {
  co_return text_response(request.method + ' ' + request.target + ' ' + request.body);
}

Response text_response(std::string body) {
  Response response;
  response.headers.add("content-type", "text/plain");
  response.body = std::move(body);
  return response;
}

Task<Response> Gate::wait(Request request) {
  ++entered;
  co_await opened.wait();
  co_return text_response("waited " + request.path);
}

std::string get(std::string_view path, std::string_view fields) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n";
}

std::string post(std::string_view path, std::string_view body, std::string_view fields) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + std::string(body);
}

std::string post_chunked(std::string_view path, std::string_view chunks) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(chunks);
}

}  // namespace perdure::http::testing
