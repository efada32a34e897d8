#include "facades/agents_api/version.h"

#include <fmt/format.h>

#include <string_view>

namespace perdure::facades::agents_api {
namespace {

constexpr std::string_view kHeader = "OpenAI-Beta";

/// The text up to the next comma, without surrounding space; moves `rest` behind it.
std::string_view next_token(std::string_view& rest) {
  std::size_t comma = rest.find(',');
  std::string_view token = rest.substr(0, comma);
  rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  std::size_t begin = token.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return token.substr(begin, token.find_last_not_of(" \t") - begin + 1);
}

}  // namespace

Result<Version> read_version(const http::Headers& headers) {
  auto header = headers.get(kHeader);
  std::string_view rest = header.value_or(std::string_view());
  while (!rest.empty()) {
    std::string_view token = next_token(rest);
    if (token.starts_with("agents=") && token != "agents=v1")
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The {} header asks for '{}'. This server offers 'agents=v1'.",
                              kHeader, token.substr(0, 64)),
                  {}, "invalid_beta");
  }
  return Version::kBeta1;
}

}  // namespace perdure::facades::agents_api
