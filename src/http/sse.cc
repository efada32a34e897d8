#include "http/sse.h"

#include <algorithm>

namespace perdure::http {
namespace {

void append_sse_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (char c : value)
    if (c != '\r' && c != '\n' && c != '\0') out.push_back(c);
  out.push_back('\n');
}

/// The first '\n' or '\r', npos without one. Two searches for one byte are vectorised, one for
/// either is not, and this looks at every byte of every stream.
std::size_t find_line_end(std::string_view text) {
  const std::size_t newline = text.find('\n');
  return std::min(newline, text.substr(0, newline).find('\r'));
}

}  // namespace

void append_sse_event(std::string& out, std::string_view id, std::string_view event,
                      std::string_view data) {
  if (!id.empty()) append_sse_field(out, "id", id);
  if (!event.empty()) append_sse_field(out, "event", event);
  for (;;) {
    std::size_t end = find_line_end(data);
    out.append("data: ").append(data.substr(0, end)).push_back('\n');
    if (end == std::string_view::npos) break;
    bool pair = data.substr(end).starts_with("\r\n");
    data.remove_prefix(end + (pair ? 2 : 1));
  }
  out.push_back('\n');
}

std::string sse_event(std::string_view id, std::string_view event, std::string_view data) {
  std::string out;
  out.reserve(id.size() + event.size() + data.size() + 32);
  append_sse_event(out, id, event, data);
  return out;
}

Response sse_response(std::unique_ptr<ByteStream> stream) {
  Response response;
  response.headers.add("content-type", "text/event-stream; charset=utf-8");
  response.headers.add("cache-control", "no-store");
  response.headers.add("x-accel-buffering", "no");  // nginx would hold events back
  response.heartbeat = kSseHeartbeat;
  response.stream = std::move(stream);
  return response;
}

SseQueue::SseQueue(const async::Executor& executor, Limits limits, Callbacks callbacks)
    : limits_(limits), callbacks_(std::move(callbacks)), changed_(executor) {}

SseQueue::~SseQueue() {
  if (callbacks_.on_gone) callbacks_.on_gone();
}

bool SseQueue::push(std::shared_ptr<const std::string> text) {
  if (closed_ || text->empty()) return !closed_;
  bool full = events_.size() >= limits_.events || bytes_ + text->size() > limits_.bytes;
  if (!events_.empty() && full) {
    behind_ = true;
    return false;
  }
  bytes_ += text->size();
  events_.push_back(std::move(text));
  changed_.notify();
  return true;
}

void SseQueue::close() {
  closed_ = true;
  changed_.notify();
}

void SseQueue::wake() {
  woken_ = true;
  changed_.notify();
}

Task<std::optional<std::string>> SseQueue::next() {
  for (;;) {
    if (events_.empty() && behind_ && !closed_) {
      behind_ = false;
      if (callbacks_.on_room) callbacks_.on_room();
    }
    if (!events_.empty()) co_return take();
    if (closed_) co_return std::nullopt;
    if (std::exchange(woken_, false)) co_return std::string();
    co_await changed_.wait();
  }
}

std::string SseQueue::take() {
  std::size_t count = 0;
  std::size_t size = 0;
  while (count < events_.size() && (count == 0 || size + events_[count]->size() <= kStreamPiece))
    size += events_[count++]->size();
  std::string piece;
  piece.reserve(size + 2);  // the connection ends a chunk with two bytes
  for (; count > 0; --count) {
    piece += *events_.front();
    events_.pop_front();
  }
  bytes_ -= size;
  woken_ = false;
  return piece;
}

}  // namespace perdure::http
