// Percent-decoding of paths and queries (RFC 3986 §2.1), strict: what cannot be decoded to clean
// UTF-8 text is an error, so that no handler ever sees half an escape, a NUL or invalid UTF-8.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace perdure::http {

/// kInvalidArgument for an incomplete escape, a control character or invalid UTF-8.
Result<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

/// "a=1&b=x+y" in order; a key without "=" has an empty value; empty parts are skipped.
Result<Query> parse_query(std::string_view text);

}  // namespace perdure::http
