#include "http/response_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/status.hpp>
#include <ctime>

#include "http/ascii.h"

namespace perdure::http {
namespace {

bool is_ours(std::string_view name) {
  return equal_ignoring_case(name, "content-length") ||
         equal_ignoring_case(name, "transfer-encoding") ||
         equal_ignoring_case(name, "connection") || equal_ignoring_case(name, "keep-alive");
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

BodyKind body_kind(const Response& response, const ResponseHeadOptions& options) {
  if (response.status < 200 || response.status == 204 || response.status == 304)
    return BodyKind::kNone;
  if (!response.stream) return BodyKind::kLength;
  return options.http_1_0 ? BodyKind::kUntilClose : BodyKind::kChunked;
}

bool asks_to_close(const Response& response) {
  auto connection = response.headers.get("connection");
  return connection && list_has(*connection, "close");
}

std::optional<std::string> format_response_head(const Response& response,
                                                const ResponseHeadOptions& options) {
  std::string out;
  out.reserve(256);
  auto reason = boost::beast::http::obsolete_reason(
      boost::beast::http::int_to_status(static_cast<unsigned>(response.status)));
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", response.status,
                 std::string_view(reason.data(), reason.size()));
  bool has_request_id = false;
  bool has_nosniff = false;
  bool has_date = false;
  for (const auto& [name, value] : response.headers.all()) {
    if (!is_token(name) || !std::ranges::all_of(value, is_field_value_char)) return std::nullopt;
    if (is_ours(name)) continue;
    has_request_id = has_request_id || equal_ignoring_case(name, "x-request-id");
    has_nosniff = has_nosniff || equal_ignoring_case(name, "x-content-type-options");
    has_date = has_date || equal_ignoring_case(name, "date");
    append_field(out, name, value);
  }
  if (!has_date && !options.date.empty()) append_field(out, "date", options.date);
  if (!has_request_id && !options.request_id.empty())
    append_field(out, "x-request-id", options.request_id);
  if (!has_nosniff) append_field(out, "x-content-type-options", "nosniff");
  BodyKind kind = body_kind(response, options);
  if (kind == BodyKind::kLength)
    fmt::format_to(std::back_inserter(out), "content-length: {}\r\n", response.body.size());
  else if (kind == BodyKind::kChunked)
    append_field(out, "transfer-encoding", "chunked");
  if (!options.keep_alive)
    append_field(out, "connection", "close");
  else if (options.http_1_0)
    append_field(out, "connection", "keep-alive");
  out += "\r\n";
  return out;
}

std::string format_http_date(std::int64_t unix_seconds) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::time_t seconds = unix_seconds;
  std::tm t{};
  gmtime_r(&seconds, &t);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[t.tm_wday], t.tm_mday,
                     kMonths[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

}  // namespace perdure::http
