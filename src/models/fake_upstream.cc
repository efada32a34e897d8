#include "models/fake_upstream.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cctype>
#include <deque>
#include <utility>

#include "async/signal.h"

namespace perdure::models::testing {

namespace asio = boost::asio;
using asio::ip::tcp;

struct FakeUpstream::State {
  explicit State(const async::Executor& executor)
      : acceptor(executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0)), closed(executor) {}

  struct Reply {
    std::string bytes;
    bool hold = false;
  };
  tcp::acceptor acceptor;
  std::deque<Reply> replies;
  std::vector<Received> received;
  std::vector<std::weak_ptr<tcp::socket>> sockets;
  int closed_by_peer = 0;
  async::Signal closed;

  static async::Task<> accept_all(std::shared_ptr<State> self);
  static async::Task<> serve(std::shared_ptr<State> self, std::shared_ptr<tcp::socket> socket);
};

namespace {

constexpr auto kResult = asio::as_tuple(asio::use_awaitable);

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

async::Task<bool> read_request(std::shared_ptr<tcp::socket> socket,
                               FakeUpstream::Received* request) {
  std::string bytes;
  std::size_t head_end = std::string::npos;
  std::size_t length = 0;
  while (head_end == std::string::npos || bytes.size() < head_end + 4 + length) {
    char buffer[4096];
    auto [ec, count] = co_await socket->async_read_some(asio::buffer(buffer), kResult);
    if (ec) co_return false;
    bytes.append(buffer, count);
    if (head_end != std::string::npos) continue;
    head_end = bytes.find("\r\n\r\n");
    if (head_end == std::string::npos) continue;
    request->head = lower(bytes.substr(0, head_end));
    if (auto at = request->head.find("content-length: "); at != std::string::npos)
      length = std::stoul(request->head.substr(at + 16));
  }
  request->body = bytes.substr(head_end + 4, length);
  co_return true;
}

}  // namespace

FakeUpstream::FakeUpstream(async::Executor executor) : state_(std::make_shared<State>(executor)) {
  async::spawn(executor, "fake upstream", State::accept_all(state_));
}

FakeUpstream::~FakeUpstream() {
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
  for (const auto& weak : state_->sockets)
    if (auto socket = weak.lock()) socket->close(ignored);
}

async::Task<> FakeUpstream::State::accept_all(std::shared_ptr<State> self) {
  while (true) {
    auto socket = std::make_shared<tcp::socket>(self->acceptor.get_executor());
    auto [ec] = co_await self->acceptor.async_accept(*socket, kResult);
    if (ec) co_return;
    self->sockets.push_back(socket);
    async::spawn(self->acceptor.get_executor(), "fake upstream connection", serve(self, socket));
  }
}

async::Task<> FakeUpstream::State::serve(std::shared_ptr<State> self,
                                         std::shared_ptr<tcp::socket> socket) {
  Received request;
  if (!co_await read_request(socket, &request)) co_return;
  self->received.push_back(std::move(request));
  if (self->replies.empty()) co_return;
  Reply reply = std::move(self->replies.front());
  self->replies.pop_front();
  co_await asio::async_write(*socket, asio::buffer(reply.bytes), kResult);
  if (!reply.hold) co_return;
  char byte;
  co_await socket->async_read_some(asio::buffer(&byte, 1), kResult);
  if (!self->acceptor.is_open()) co_return;
  ++self->closed_by_peer;
  self->closed.notify();
}

std::uint16_t FakeUpstream::port() const {
  return state_->acceptor.local_endpoint().port();
}

std::string FakeUpstream::base_url() const {
  return fmt::format("http://127.0.0.1:{}/v1", port());
}

void FakeUpstream::answer(std::string bytes, bool hold) {
  state_->replies.push_back({std::move(bytes), hold});
}

const std::vector<FakeUpstream::Received>& FakeUpstream::received() const {
  return state_->received;
}

int FakeUpstream::closed_by_peer() const {
  return state_->closed_by_peer;
}

async::Task<> FakeUpstream::wait_for_close() {
  co_await state_->closed.wait();
}

std::string http_answer(int status, std::string_view content_type, std::string_view body,
                        std::string_view more_fields) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}\r\n{}", status,
                     content_type, body.size(), more_fields, body);
}

std::string sse_answer(std::string_view events) {
  return fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{}", events);
}

}  // namespace perdure::models::testing
