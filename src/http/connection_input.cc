// The reading half of a connection: heads, bodies, and the waits between their pieces.
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "http/chunk_decoder.h"
#include "http/connection.h"
#include "http/limits.h"

namespace perdure::http {
namespace asio = boost::asio;
namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kMinimumRead = 2 << 10;

Refusal nobody_left() {
  return Refusal{0, Error{ErrorCode::kCancelled, "the client left", {}, {}}};
}

}  // namespace

Task<std::expected<void, Refusal>> Connection::read_head(RequestParser* parser) {
  set_phase(Phase::kReading, context_->settings.header_timeout_ms);
  for (;;) {
    std::size_t consumed = 0;
    auto state = parser->parse(input_.view(), consumed);
    input_.consume(consumed);
    if (state == RequestParser::State::kDone) co_return std::expected<void, Refusal>();
    if (state == RequestParser::State::kRefused) co_return std::unexpected(parser->refusal());
    Read read = read_some();
    if (read == Read::kEnd) co_return std::unexpected(nobody_left());
    if (read == Read::kWouldBlock && !co_await wait_readable())
      co_return std::unexpected(parser->started() ? interrupted("header") : nobody_left());
  }
}

Task<std::expected<std::string, Refusal>> Connection::read_body(Framing framing,
                                                                std::size_t limit) {
  if (!framing.chunked && framing.content_length > limit) {
    unread_input_ = true;
    co_return std::unexpected(too_large(limit));
  }
  set_phase(Phase::kReading, context_->settings.body_idle_timeout_ms);
  if (framing.expect_continue && input_.empty()) queue("HTTP/1.1 100 Continue\r\n\r\n");
  if (framing.chunked) co_return co_await read_chunked_body(limit);
  co_return co_await read_sized_body(static_cast<std::size_t>(framing.content_length));
}

Task<std::expected<std::string, Refusal>> Connection::read_sized_body(std::size_t length) {
  std::string body;
  body.reserve(std::min(length, kBodyReserve));
  std::size_t have = std::min(length, input_.size());
  body.append(input_.view().substr(0, have));
  input_.consume(have);
  if (auto refusal = hold_body(have)) co_return std::unexpected(std::move(*refusal));
  std::size_t this_turn = 0;
  while (body.size() < length) {
    std::size_t before = body.size();
    Read read = read_some_into(body, length);
    if (read == Read::kEnd) co_return std::unexpected(nobody_left());
    if (read == Read::kWouldBlock) {
      if (!co_await wait_readable()) co_return std::unexpected(interrupted("body"));
      this_turn = 0;
      continue;
    }
    std::size_t got = body.size() - before;
    if (auto refusal = hold_body(got)) co_return std::unexpected(std::move(*refusal));
    set_phase(Phase::kReading, context_->settings.body_idle_timeout_ms);
    this_turn += got;
    if (this_turn >= kReadPerTurn) {
      this_turn = 0;
      co_await async::yield();
    }
  }
  co_return body;
}

Task<std::expected<std::string, Refusal>> Connection::read_chunked_body(std::size_t limit) {
  std::string body;
  ChunkDecoder decoder(limit);
  std::size_t this_turn = 0;
  for (;;) {
    std::size_t before = body.size();
    std::size_t consumed = 0;
    auto state = decoder.decode(input_.view(), consumed, body);
    input_.consume(consumed);
    this_turn += consumed;
    if (auto refusal = hold_body(body.size() - before))
      co_return std::unexpected(std::move(*refusal));
    switch (state) {
      case ChunkDecoder::State::kDone:
        co_return body;
      case ChunkDecoder::State::kTooLarge:
        co_return std::unexpected(too_large(limit));
      case ChunkDecoder::State::kMalformed:
        co_return std::unexpected(Refusal{
            400, Error{ErrorCode::kInvalidArgument, "The body is not validly chunked.", {}, {}}});
      case ChunkDecoder::State::kMore:
        break;
    }
    if (this_turn >= kReadPerTurn) {
      this_turn = 0;
      co_await async::yield();
    }
    Read read = read_some();
    if (read == Read::kEnd) co_return std::unexpected(nobody_left());
    if (read == Read::kWouldBlock) {
      if (!co_await wait_readable()) co_return std::unexpected(interrupted("body"));
      this_turn = 0;
    } else {
      set_phase(Phase::kReading, context_->settings.body_idle_timeout_ms);
    }
  }
}

Task<bool> Connection::wait_readable() {
  if (!output_.empty() && !co_await flush()) co_return false;
  if (timed_out_ || lost_) co_return false;
  auto [ec] = co_await socket_.async_wait(asio::ip::tcp::socket::wait_read, kAwait);
  co_return !ec && !timed_out_ && !lost_;
}

Connection::Read Connection::receive(char* to, std::size_t room, std::size_t& got) {
  got = 0;
  for (;;) {
    ssize_t count = ::recv(socket_.native_handle(), to, room, MSG_DONTWAIT);
    if (count > 0) {
      got = static_cast<std::size_t>(count);
      return Read::kData;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Read::kWouldBlock;
    return Read::kEnd;
  }
}

Connection::Read Connection::read_some() {
  char* to = input_.prepare(input_.empty() ? kReadBuffer : kMinimumRead);
  std::size_t got = 0;
  Read read = receive(to, input_.room(), got);
  input_.commit(got);
  return read;
}

Connection::Read Connection::read_some_into(std::string& body, std::size_t length) {
  // Not on the word of Content-Length alone: memory grows with what has arrived.
  std::size_t had = body.size();
  std::size_t room = std::min(length - had, std::max(body.capacity() - had, kReadPerTurn));
  Read read = Read::kEnd;
  body.resize_and_overwrite(had + room, [&](char* data, std::size_t) {
    std::size_t got = 0;
    read = receive(data + had, room, got);
    return had + got;
  });
  return read;
}

std::optional<Refusal> Connection::hold_body(std::size_t bytes) {
  if (context_->hold_body(bytes)) {
    held_body_ += bytes;
    return std::nullopt;
  }
  return Refusal{
      503,
      Error{ErrorCode::kUnavailable, "The server is receiving too much at this moment.", {}, {}}};
}

void Connection::release_body() {
  context_->release_body(held_body_);
  held_body_ = 0;
}

Refusal Connection::interrupted(const char* what) const {
  if (!timed_out_) return nobody_left();
  return Refusal{408, Error{ErrorCode::kDeadlineExceeded,
                            std::string("The request's ") + what + " did not arrive in time.",
                            {},
                            {}}};
}

Refusal Connection::too_large(std::size_t limit) const {
  return Refusal{413, Error{ErrorCode::kTooLarge,
                            "The body is larger than the " + std::to_string(limit) +
                                " bytes this path accepts.",
                            {},
                            {}}};
}

}  // namespace perdure::http
