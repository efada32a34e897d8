// The parser of answer heads says the same however its input is cut, and what it accepts is framed
// in one way only.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/response_parser.h"

namespace {

using perdure::http::BodyEnd;
using perdure::http::ResponseParser;

void demand(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

/// All that a parser said about one head, as text; "refused" and "more" are answers too.
std::string describe(std::string_view input, std::size_t step) {
  ResponseParser parser(false);
  std::size_t begin = 0;
  for (std::size_t end = 0; end < input.size();) {
    end = std::min(end + step, input.size());
    std::size_t consumed = 0;
    auto result = parser.parse(input.substr(begin, end - begin), consumed);
    if (!result) return "refused";
    demand(consumed <= end - begin, "no more is consumed than was offered");
    begin += consumed;
    if (!*result) continue;
    demand(parser.body_end() == BodyEnd::kLength || parser.content_length() == 0 ||
               parser.body_end() == BodyEnd::kNone,
           "a length stands alone");
    std::string text = std::to_string(parser.status()) + ' ' + std::to_string(begin) + ' ' +
                       std::to_string(static_cast<int>(parser.body_end())) + ' ' +
                       std::to_string(parser.content_length()) + (parser.keep_alive() ? " k" : "");
    for (const auto& [name, value] : parser.headers().all()) text += '\n' + name + ':' + value;
    return text;
  }
  return "more";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  std::string whole = describe(input, input.size());
  std::string bytewise = describe(input, 1);
  // Bytewise, a fault may be seen only once the head is complete; whole, at once.
  if (whole == "refused" || bytewise == "refused") {
    demand(whole == bytewise || whole == "more" || bytewise == "more", "a cut changes no verdict");
    return 0;
  }
  demand(whole == bytewise, "the cut of the head changes what is read");
  return 0;
}
