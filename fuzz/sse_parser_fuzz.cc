// The event-stream parser gives the same events, ids and errors however its input is cut.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/sse_parser.h"

namespace {

using perdure::http::SseEvent;
using perdure::http::SseParser;

// Small, so that they are met.
constexpr std::size_t kMaxLine = 64;
constexpr std::size_t kMaxEvent = 100;

struct Outcome {
  std::vector<SseEvent> events;
  bool failed = false;
  std::string last_event_id;
  std::optional<std::int64_t> retry_ms;
  bool operator==(const Outcome&) const = default;
};

/// Feeds pieces of one to eight bytes, their sizes taken from `sizes` in turn, with an empty piece
/// between them; without sizes the whole at once.
Outcome parse(std::string_view stream, std::string_view sizes) {
  SseParser parser({.max_line = kMaxLine, .max_event = kMaxEvent});
  Outcome outcome;
  for (std::size_t at = 0, turn = 0; at < stream.size() && !outcome.failed; ++turn) {
    std::size_t size = stream.size();
    if (!sizes.empty()) size = 1 + static_cast<unsigned char>(sizes[turn % sizes.size()]) % 8;
    outcome.failed = !parser.feed(stream.substr(at, size), outcome.events);
    if (!outcome.failed) outcome.failed = !parser.feed("", outcome.events);
    at += size;
  }
  outcome.last_event_id = parser.last_event_id();
  outcome.retry_ms = parser.retry_ms();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string_view sizes = input.substr(0, size / 4);
  std::string_view stream = input.substr(size / 4);
  Outcome whole = parse(stream, {});
  for (std::string_view cut : {sizes, std::string_view("\0", 1)}) {
    if (parse(stream, cut) == whole) continue;
    std::fprintf(stderr, "violated: the cut of the stream changes what is read\n");
    std::abort();
  }
  for (const SseEvent& event : whole.events)
    if (event.data.size() > kMaxEvent || event.event.empty()) std::abort();
  return 0;
}
