#include "http/percent.h"

#include "base/bytes.h"

namespace perdure::http {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  bool ascii = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      int low = high < 0 ? -1 : hex_value(text[i + 2]);
      if (low < 0)
        return fail(ErrorCode::kInvalidArgument,
                    "The URL has a '%' that is not followed by two hexadecimal digits.");
      c = static_cast<char>(high << 4 | low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      return fail(ErrorCode::kInvalidArgument, "The URL has an encoded control character.");
    if (byte >= 0x80) ascii = false;
    out.push_back(c);
  }
  if (!ascii && !is_valid_utf8(out))
    return fail(ErrorCode::kInvalidArgument, "The URL does not decode to valid UTF-8.");
  return out;
}

Result<Query> parse_query(std::string_view text) {
  Query query;
  while (!text.empty()) {
    std::size_t end = text.find('&');
    std::string_view part = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (part.empty()) continue;
    std::size_t equals = part.find('=');
    TRY(key, percent_decode(part.substr(0, equals), true));
    std::string value;
    if (equals != std::string_view::npos) {
      TRY(decoded, percent_decode(part.substr(equals + 1), true));
      value = std::move(decoded);
    }
    query.emplace_back(std::move(key), std::move(value));
  }
  return query;
}

}  // namespace perdure::http
