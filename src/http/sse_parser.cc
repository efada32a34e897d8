#include "http/sse_parser.h"

#include <fmt/format.h>

#include <charconv>

namespace perdure::http {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::unexpected<Error> too_large(std::string_view what, std::size_t limit) {
  return fail(ErrorCode::kTooLarge,
              fmt::format("The event stream has {} of more than {} bytes.", what, limit));
}

}  // namespace

Result<void> SseParser::feed(std::string_view bytes, std::vector<SseEvent>& events) {
  if (failed_) return std::unexpected(*failed_);
  while (!bytes.empty()) {
    if (std::exchange(after_cr_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    std::size_t end = bytes.find_first_of("\r\n");
    std::string_view piece = bytes.substr(0, end);
    Result<void> result;
    if (line_.size() + piece.size() > limits_.max_line) {
      result = too_large("a line", limits_.max_line);
    } else if (end == std::string_view::npos) {
      line_ += piece;
      break;
    } else if (line_.empty()) {
      result = take_line(piece, events);
    } else {
      line_ += piece;
      result = take_line(line_, events);
      line_.clear();
    }
    if (!result) {
      failed_ = result.error();
      return result;
    }
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
  }
  return {};
}

Result<void> SseParser::take_line(std::string_view line, std::vector<SseEvent>& events) {
  if (std::exchange(first_line_, false) && line.starts_with(kByteOrderMark))
    line.remove_prefix(kByteOrderMark.size());
  if (line.empty()) {
    dispatch(events);
    return {};
  }
  std::size_t colon = line.find(':');
  std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);

  if (field == "data") return take_data(value);
  if (field == "event") {
    event_ = value;
  } else if (field == "id") {
    if (!value.contains('\0')) last_event_id_ = value;
  } else if (field == "retry") {
    std::int64_t milliseconds = 0;
    bool digits = !value.empty() && value.find_first_not_of("0123456789") == value.npos;
    if (digits && std::from_chars(value.begin(), value.end(), milliseconds).ec == std::errc())
      retry_ms_ = milliseconds;
  }
  return {};
}

Result<void> SseParser::take_data(std::string_view value) {
  if (data_.size() + has_data_ + value.size() > limits_.max_event)
    return too_large("an event", limits_.max_event);
  if (has_data_) data_ += '\n';
  data_ += value;
  has_data_ = true;
  return {};
}

void SseParser::dispatch(std::vector<SseEvent>& events) {
  if (has_data_) {
    if (event_.empty()) event_ = "message";
    events.push_back({std::move(event_), std::move(data_), last_event_id_});
  }
  event_.clear();
  data_.clear();
  has_data_ = false;
}

}  // namespace perdure::http
