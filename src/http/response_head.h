// The status line and header fields of a response, as bytes.
//
// Framing (Content-Length, Transfer-Encoding, Connection) is the server's alone: such fields of a
// handler are left out, only its "Connection: close" is heard.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace perdure::http {

struct ResponseHeadOptions {
  bool http_1_0 = false;
  bool head_request = false;
  bool keep_alive = true;
  std::string_view date;        ///< in HTTP's format
  std::string_view request_id;  ///< for x-request-id, unless the handler set one
};

/// What follows the head.
enum class BodyKind { kNone, kLength, kChunked, kUntilClose };
BodyKind body_kind(const Response& response, const ResponseHeadOptions& options);

/// True if a handler asked for the connection to close after this response.
bool asks_to_close(const Response& response);

/// nullopt if a field's name or value could not stand in a header (a handler's mistake: the caller
/// answers 500 instead of letting it split the response).
std::optional<std::string> format_response_head(const Response& response,
                                                const ResponseHeadOptions& options);

/// "Sun, 06 Nov 1994 08:49:37 GMT" of a time in seconds since 1970.
std::string format_http_date(std::int64_t unix_seconds);

}  // namespace perdure::http
