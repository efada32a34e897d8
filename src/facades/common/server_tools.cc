#include "facades/common/server_tools.h"

#include <fmt/format.h>

#include <algorithm>

namespace perdure::facades {

Result<std::vector<std::string>> server_tools_of(const http::Request& request) {
  const auto wrong = [](std::string_view what) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("The {} header {}.", kToolsHeader, what),
                std::string(kToolsHeader));
  };
  std::vector<std::string> names;
  const auto value = request.headers.get(kToolsHeader);
  if (!value) return names;
  if (request.headers.count(kToolsHeader) > 1) return wrong("was given more than once");
  std::string_view rest = *value;
  while (true) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    std::string_view name = rest.substr(0, comma);
    while (name.starts_with(' ') || name.starts_with('\t')) name.remove_prefix(1);
    while (name.ends_with(' ') || name.ends_with('\t')) name.remove_suffix(1);
    if (name.empty()) return wrong("must name tools, separated by commas");
    if (std::ranges::find(names, name) != names.end())
      return wrong(fmt::format("names '{}' twice", name));
    names.emplace_back(name);
    if (comma == rest.size()) return names;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace perdure::facades
