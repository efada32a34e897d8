// Reads Server-Sent Events (the text/event-stream format of the HTML standard) as they arrive.
//
// Fed with any cut of the stream, it gives each event once the empty line behind it has come; an
// event that the stream's end cuts off is never given. Lines end with CR, LF or CRLF, a byte order
// mark is skipped, comments and unknown fields are ignored. Text is passed on as it came: whoever
// reads it checks its UTF-8. A value of one stream, on its loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace perdure::http {

struct SseEvent {
  std::string event;  ///< its type: "message" where the stream names none
  std::string data;   ///< data lines joined with LF
  std::string id;     ///< the last id seen so far, empty before the first
  bool operator==(const SseEvent&) const = default;
};

struct SseLimits {
  std::size_t max_line = 8 << 20;    ///< bytes of a line without its end
  std::size_t max_event = 16 << 20;  ///< bytes of an event's data
};

class SseParser {
 public:
  explicit SseParser(SseLimits limits = {}) : limits_(limits) {}

  /// Appends the events that `bytes` complete. kTooLarge past a limit: the events before it have
  /// been given, and every further call fails the same way.
  Result<void> feed(std::string_view bytes, std::vector<SseEvent>& events);

  /// What a reconnecting client sends as Last-Event-ID: also set by events without data.
  const std::string& last_event_id() const { return last_event_id_; }
  /// How long the server asks a client to wait before it reconnects, if it has said so.
  std::optional<std::int64_t> retry_ms() const { return retry_ms_; }

 private:
  Result<void> take_line(std::string_view line, std::vector<SseEvent>& events);
  Result<void> take_data(std::string_view value);
  void dispatch(std::vector<SseEvent>& events);

  SseLimits limits_;
  std::string line_;  ///< the beginning of a line whose end has not come
  bool first_line_ = true;
  bool after_cr_ = false;  ///< an LF that comes next belongs to the CR before it
  std::optional<Error> failed_;

  std::string event_;
  std::string data_;
  bool has_data_ = false;
  std::string last_event_id_;
  std::optional<std::int64_t> retry_ms_;
};

}  // namespace perdure::http
