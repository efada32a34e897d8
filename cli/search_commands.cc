#include "cli/search_commands.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/pages.h"
#include "cli/printing.h"

namespace perdure::cli {

int search(const CommonFlags& flags, const app::Environment& environment,
           const SearchFlags& search) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  std::string path = with_parameter("/api/search", "q", search.words);
  path = with_parameter(std::move(path), "agent", search.agent);
  path = with_parameter(std::move(path), "workstream", search.workstream);
  path = with_parameter(std::move(path), "project", search.project);
  path = with_parameter(std::move(path), "after", search.after);
  path = with_parameter(std::move(path), "limit", std::to_string(search.limit));
  const auto page = client->call("GET", path);
  if (!page) return report(page.error());
  if (flags.json) return print_json(*page);
  const json::object& answer = page->get_object();
  const json::array& hits = get_array(answer, "data");
  if (hits.empty()) fmt::print("Nothing was found.\n");
  for (const json::value& value : hits) {
    const json::object& hit = value.get_object();
    const std::string kind = text_of(hit, "kind");
    fmt::print("{}  {}  {}\n", text_of(hit, "session"), text_of(hit, "turn"),
               time_of(hit, "created_at"));
    fmt::print("  {}: {}\n", kind == "message" ? text_of(hit, "role") : kind,
               text_of(hit, "snippet"));
  }
  if (get_bool(answer, "has_more"))
    fmt::print("There are more: --after {} shows what follows.\n", text_of(answer, "next"));
  if (!get_bool(answer, "complete", true))
    fmt::print(stderr, "Some sessions are not searchable yet; ask again in a moment.\n");
  return kDone;
}

}  // namespace perdure::cli
