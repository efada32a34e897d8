#include "cli/workstream_commands.h"

#include <fmt/format.h>

#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/pages.h"
#include "cli/printing.h"

namespace perdure::cli {
namespace {

constexpr std::string_view kAll = "/api/workstreams";

/// …/NAME and what follows it, in the project that is meant.
std::string path_of(const WorkstreamFlags& wanted, std::string_view rest = {}) {
  return with_parameter(fmt::format("{}/{}{}", kAll, percent_encoded(wanted.name), rest), "project",
                        wanted.project);
}

std::string member_path(const WorkstreamFlags& wanted) {
  return path_of(wanted, fmt::format("/members/{}", percent_encoded(wanted.subject)));
}

std::string access_of(const json::object& workstream) {
  const std::string role = text_of(workstream, "role");
  if (get_bool(workstream, "open")) return "open";
  return role.empty() ? "closed" : role;
}

std::string budget_of(const json::object& workstream) {
  const json::value* budget = find(workstream, "budget");
  if (!budget || !budget->is_object()) return "-";
  const json::object& view = budget->get_object();
  return fmt::format("${} of ${} left ({})", text_of(view, "left_dollars"),
                     text_of(view, "limit_dollars"), text_of(view, "window"));
}

json::object pairs_of(const std::vector<std::string>& texts) {
  json::object pairs;
  for (const std::string& text : texts)
    pairs[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  return pairs;
}

void add_content(json::object* body, const WorkstreamFlags& wanted) {
  if (wanted.description) (*body)["description"] = *wanted.description;
  if (!wanted.metadata.empty()) (*body)["metadata"] = pairs_of(wanted.metadata);
  if (!wanted.agents.empty() || wanted.no_agents)
    (*body)["agents"] = json::array(wanted.agents.begin(), wanted.agents.end());
}

/// Sets or removes the budget where the flags ask for it.
Outcome<void> change_budget(const ApiClient& client, const WorkstreamFlags& wanted) {
  Outcome<json::value> done;
  if (!wanted.limit.empty())
    done = client.call("PUT", path_of(wanted, "/budget"),
                       perdure::serialize(json::object{{"limit_dollars", wanted.limit},
                                                       {"window", wanted.window}}));
  else if (wanted.no_limit)
    done = client.call("DELETE", path_of(wanted, "/budget"));
  if (!done) return std::unexpected(done.error());
  return {};
}

void print_members(const json::object& workstream) {
  const json::array& members = get_array(workstream, "members");
  if (members.empty()) {
    fmt::print("It has no members: it is open to its project.\n");
    return;
  }
  std::vector<TableRow> rows;
  for (const json::value& value : members)
    rows.push_back({text_of(value.get_object(), "subject"), text_of(value.get_object(), "role")});
  fmt::print("{}", table({"KEY", "ROLE"}, rows));
}

}  // namespace

int list_workstreams(const CommonFlags& flags, const app::Environment& environment,
                     const WorkstreamFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  std::string path = with_parameter(std::string(kAll), "project", wanted.project);
  if (wanted.oldest_first) path = with_parameter(std::move(path), "order", "asc");
  if (wanted.with_archived) path = with_parameter(std::move(path), "include_archived", "true");
  const auto all = all_pages(*client, path, "name");
  if (!all) return report(all.error());
  if (flags.json) return print_json(json::object{{"data", *all}});
  if (all->empty()) {
    fmt::print("There are no workstreams. Make one with 'perdure workstreams create NAME'.\n");
    return kDone;
  }
  std::vector<TableRow> rows;
  for (const json::value& value : *all) {
    const json::object& one = value.get_object();
    rows.push_back(
        {text_of(one, "name"), access_of(one), std::to_string(get_array(one, "members").size()),
         get_bool(one, "archived") ? "yes" : "no", budget_of(one), time_of(one, "created_at")});
  }
  fmt::print("{}",
             table({"NAME", "ACCESS", "MEMBERS", "ARCHIVED", "BUDGET", "CREATED (UTC)"}, rows));
  return kDone;
}

int show_workstream(const CommonFlags& flags, const app::Environment& environment,
                    const WorkstreamFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto shown = client->call("GET", path_of(wanted));
  if (!shown) return report(shown.error());
  if (flags.json) return print_json(*shown);
  const json::object& one = shown->get_object();
  fmt::print("{}  {}{}\n", text_of(one, "name"), access_of(one),
             get_bool(one, "archived") ? "  archived" : "");
  fmt::print("created: {}\nupdated: {}\nbudget: {}\n", time_of(one, "created_at"),
             time_of(one, "updated_at"), budget_of(one));
  for (const json::value& agent : get_array(one, "agents"))
    fmt::print("agent: {}\n", as_view(agent.get_string()));
  for (const json::value& member : get_array(one, "members"))
    fmt::print("{}: {}\n", text_of(member.get_object(), "role"),
               text_of(member.get_object(), "subject"));
  for (const auto& [key, value] : get_object(one, "metadata"))
    fmt::print("metadata {}: {}\n", std::string_view(key), as_view(value.get_string()));
  if (!text_of(one, "description").empty()) fmt::print("\n{}\n", text_of(one, "description"));
  return kDone;
}

int create_workstream(const CommonFlags& flags, const app::Environment& environment,
                      const WorkstreamFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  json::object body{{"name", wanted.name}};
  add_content(&body, wanted);
  json::array members;
  for (const std::string& text : wanted.members) {
    json::object member{{"subject", text.substr(0, text.find('='))}};
    if (const std::size_t sign = text.find('='); sign != std::string::npos)
      member["role"] = text.substr(sign + 1);
    members.push_back(std::move(member));
  }
  if (!members.empty()) body["members"] = std::move(members);
  const auto made =
      client->call("POST", with_parameter(std::string(kAll), "project", wanted.project),
                   perdure::serialize(body));
  if (!made) return report(made.error());
  if (const auto limited = change_budget(*client, wanted); !limited) return report(limited.error());
  if (flags.json) return show_workstream(flags, environment, wanted);
  fmt::print("{}\n", wanted.name);
  return kDone;
}

int change_workstream(const CommonFlags& flags, const app::Environment& environment,
                      const WorkstreamFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  json::object body;
  add_content(&body, wanted);
  if (wanted.archive || wanted.unarchive) body["archived"] = wanted.archive;
  if (body.empty() && wanted.limit.empty() && !wanted.no_limit)
    return report({kUsage, "Nothing is to be changed: see 'perdure workstreams set --help'."});
  if (!body.empty())
    if (const auto changed = client->call("POST", path_of(wanted), perdure::serialize(body));
        !changed)
      return report(changed.error());
  if (const auto limited = change_budget(*client, wanted); !limited) return report(limited.error());
  if (flags.json) return show_workstream(flags, environment, wanted);
  fmt::print("{} is changed.\n", wanted.name);
  return kDone;
}

int remove_workstream(const CommonFlags& flags, const app::Environment& environment,
                      const WorkstreamFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto removed = client->call("DELETE", path_of(wanted));
  if (!removed) return report(removed.error());
  if (flags.json) return print_json(*removed);
  fmt::print("{} is deleted.\n", wanted.name);
  return kDone;
}

int list_workstream_members(const CommonFlags& flags, const app::Environment& environment,
                            const WorkstreamFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto shown = client->call("GET", path_of(wanted));
  if (!shown) return report(shown.error());
  if (flags.json)
    return print_json(json::object{{"data", get_array(shown->get_object(), "members")}});
  print_members(shown->get_object());
  return kDone;
}

int set_workstream_member(const CommonFlags& flags, const app::Environment& environment,
                          const WorkstreamFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto changed = client->call("PUT", member_path(wanted),
                                    perdure::serialize(json::object{{"role", wanted.role}}));
  if (!changed) return report(changed.error());
  if (flags.json) return print_json(*changed);
  print_members(changed->get_object());
  return kDone;
}

int remove_workstream_member(const CommonFlags& flags, const app::Environment& environment,
                             const WorkstreamFlags& wanted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto changed = client->call("DELETE", member_path(wanted));
  if (!changed) return report(changed.error());
  if (flags.json) return print_json(*changed);
  if (get_bool(changed->get_object(), "left"))
    fmt::print("{} is no member any more.\n", wanted.subject);
  else
    print_members(changed->get_object());
  return kDone;
}

}  // namespace perdure::cli
