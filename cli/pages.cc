#include "cli/pages.h"

#include <fmt/format.h>

#include "cli/exit_code.h"

namespace perdure::cli {

std::string with_parameter(std::string path, std::string_view key,
                           const std::optional<std::string>& value) {
  if (!value || value->empty()) return path;
  const char joint = path.find('?') == std::string::npos ? '?' : '&';
  return fmt::format("{}{}{}={}", path, joint, key, percent_encoded(*value));
}

Outcome<json::array> all_pages(const ApiClient& client, const std::string& path,
                               std::string_view id_key) {
  json::array all;
  std::string after;
  while (true) {
    const auto page = client.call("GET", with_parameter(path, "after", after));
    if (!page) return std::unexpected(page.error());
    if (!page->is_object()) return std::unexpected(Failure{kFailed, "The list is none."});
    const json::array& data = get_array(page->get_object(), "data");
    for (const json::value& element : data) all.push_back(element);
    if (data.empty() || !get_bool(page->get_object(), "has_more")) return all;
    std::string next(id_key.empty() ? get_string(page->get_object(), "next")
                                    : get_string(data.back().get_object(), id_key));
    if (next.empty() || next == after)
      return std::unexpected(Failure{kFailed, "The list does not go on."});
    after = std::move(next);
  }
}

}  // namespace perdure::cli
