#include "bench/peer.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <stdexcept>

namespace perdure::bench {
namespace asio = boost::asio;

namespace {

constexpr std::size_t kRead = 64 << 10;

std::size_t parse_number(std::string_view text, int base) {
  std::size_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value, base).ec != std::errc())
    throw std::runtime_error(fmt::format("not a length: '{}'", text));
  return value;
}

/// The value of a header field, which the head writes in any case.
std::string_view field(std::string_view head, std::string_view name) {
  const auto found = std::ranges::search(
      head, name, [](char a, char b) { return std::tolower(a) == std::tolower(b); });
  if (found.empty()) return {};
  std::string_view rest(found.end(), head.end());
  rest = rest.substr(0, rest.find('\r'));
  rest.remove_prefix(std::min(rest.find_first_not_of(": "), rest.size()));
  return rest;
}

}  // namespace

std::string make_request(std::string_view method, std::string_view path, std::string_view body) {
  std::string text = fmt::format(
      "{} {} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer bench\r\n", method, path);
  if (!body.empty())
    text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  return text.append("\r\n").append(body);
}

Task<> Peer::connect(std::uint16_t port) {
  close();
  raw_.clear();
  body_.clear();
  ended_ = true;
  received_ = 0;
  co_await socket_.async_connect({asio::ip::address_v4::loopback(), port}, asio::use_awaitable);
  socket_.set_option(asio::ip::tcp::no_delay(true));
}

void Peer::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

Task<> Peer::fill() {
  const std::size_t old = raw_.size();
  raw_.resize(old + kRead);
  const std::size_t count =
      co_await socket_.async_read_some(asio::buffer(raw_.data() + old, kRead), asio::use_awaitable);
  raw_.resize(old + count);
  received_ += count;
}

Task<int> Peer::begin(std::string request) {
  if (!ended_ || !body_.empty()) throw std::runtime_error("the last answer was not read");
  co_await asio::async_write(socket_, asio::buffer(request), asio::use_awaitable);
  std::size_t end = 0;
  while ((end = raw_.find("\r\n\r\n")) == std::string::npos) co_await fill();
  const std::string head = raw_.substr(0, end + 2);
  raw_.erase(0, end + 4);
  chunked_ = field(head, "\ntransfer-encoding") == "chunked";
  const std::string_view length = field(head, "\ncontent-length");
  left_ = length.empty() ? 0 : parse_number(length, 10);
  ended_ = !chunked_ && left_ == 0;
  co_return static_cast<int>(parse_number(std::string_view(head).substr(9, 3), 10));
}

Task<> Peer::begin_chunk() {
  std::size_t end = 0;
  while ((end = raw_.find("\r\n")) == std::string::npos) co_await fill();
  const std::size_t size = parse_number(std::string_view(raw_).substr(0, end), 16);
  raw_.erase(0, end + 2);
  left_ = size + 2;
  if (size != 0) co_return;
  while (raw_.size() < 2) co_await fill();  // no trailers here
  raw_.erase(0, 2);
  ended_ = true;
}

Task<bool> Peer::more_body() {
  if (!ended_ && chunked_ && left_ == 0) co_await begin_chunk();
  if (ended_) co_return false;
  if (raw_.empty()) co_await fill();
  const std::size_t taken = std::min(raw_.size(), left_);
  const std::size_t data = chunked_ ? (left_ > 2 ? std::min(taken, left_ - 2) : 0) : taken;
  body_.append(raw_, 0, data);
  raw_.erase(0, taken);
  left_ -= taken;
  if (!chunked_ && left_ == 0) ended_ = true;
  co_return true;
}

Task<std::string> Peer::body() {
  while (co_await more_body()) continue;
  co_return std::exchange(body_, {});
}

Task<std::string> Peer::exchange(std::string request) {
  const std::string first_line = request.substr(0, request.find('\r'));
  const int status = co_await begin(std::move(request));
  std::string text = co_await body();
  if (status < 200 || status >= 300)
    throw std::runtime_error(fmt::format("{}: status {}: {}", first_line, status, text));
  co_return text;
}

Task<std::optional<std::string>> Peer::next_event() {
  std::size_t searched = 0;
  while (true) {
    const std::size_t end = body_.find("\n\n", searched);
    if (end == std::string::npos) {
      searched = body_.empty() ? 0 : body_.size() - 1;
      if (!co_await more_body()) {
        body_.clear();
        co_return std::nullopt;
      }
      continue;
    }
    const std::string block = body_.substr(0, end + 1);
    body_.erase(0, end + 2);
    searched = 0;
    const std::size_t field = block.starts_with("data:") ? 0 : block.find("\ndata:") + 1;
    if (field == 0 && !block.starts_with("data:")) continue;  // a comment
    const std::size_t first = block.find_first_not_of(' ', field + 5);
    co_return block.substr(first, block.find('\n', first) - first);
  }
}

std::string_view member(std::string_view json, std::string_view name) {
  const std::string wanted = fmt::format("\"{}\":\"", name);
  const std::size_t at = json.find(wanted);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = json.substr(at + wanted.size());
  return rest.substr(0, rest.find('"'));
}

}  // namespace perdure::bench
