#include "cli/agent_commands.h"

#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/printing.h"

namespace perdure::cli {
namespace {

constexpr std::string_view kAgents = "/v1/agents";

std::string path_of(const std::string& id) {
  return fmt::format("{}/{}", kAgents, percent_encoded(id));
}

std::string number_of(const json::object& object, std::string_view key) {
  return std::to_string(get_int(object, key));
}

std::string name_of(const json::object& agent) {
  std::string name = text_of(agent, "name");
  return name.empty() ? "-" : name;
}

std::string tools_of(const json::object& agent) {
  std::string out;
  for (const json::value& value : get_array(agent, "tools")) {
    const json::object& tool = value.get_object();
    std::string name = text_of(tool, "name");
    out +=
        fmt::format("{}{}", out.empty() ? "" : ", ", name.empty() ? text_of(tool, "type") : name);
  }
  return out.empty() ? "-" : out;
}

Outcome<std::string> read_file(const std::string& name) {
  if (name == "-")
    return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  std::ifstream file(name, std::ios::binary);
  if (!file) return std::unexpected(Failure{kUsage, fmt::format("'{}' cannot be read.", name)});
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

/// The body that is sent: the file's members, and the flags' over them.
Outcome<std::string> body_of(const NewAgent& agent) {
  json::object body;
  if (agent.file) {
    auto text = read_file(*agent.file);
    if (!text) return std::unexpected(text.error());
    // Without a flag beside it the text goes as it is: the server says what is wrong with it.
    if (!agent.model && !agent.name && !agent.instructions) return *text;
    auto value = parse_json(*text);
    if (!value || !value->is_object())
      return std::unexpected(
          Failure{kUsage, fmt::format("'{}' does not hold a JSON object.", *agent.file)});
    body = value->get_object();
  }
  if (agent.model) body["model"] = *agent.model;
  if (agent.name) body["name"] = *agent.name;
  if (agent.instructions) body["instructions"] = *agent.instructions;
  return perdure::serialize(body);
}

void say_if_more(const json::object& page) {
  if (get_bool(page, "has_more")) fmt::print("There are more: --limit shows up to 100 of them.\n");
}

}  // namespace

int list_agents(const CommonFlags& flags, const app::Environment& environment, int limit) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto page = client->call("GET", fmt::format("{}?limit={}", kAgents, limit));
  if (!page) return report(page.error());
  if (flags.json) return print_json(*page);
  const json::array& agents = get_array(page->get_object(), "data");
  if (agents.empty()) {
    fmt::print("There are no saved agents. Make one with 'perdure agents create'.\n");
    return kDone;
  }
  std::vector<TableRow> rows;
  for (const json::value& value : agents) {
    const json::object& agent = value.get_object();
    rows.push_back({text_of(agent, "id"), name_of(agent), text_of(agent, "model"),
                    number_of(agent, "version"), time_of(agent, "updated_at")});
  }
  fmt::print("{}", table({"ID", "NAME", "MODEL", "VERSION", "UPDATED (UTC)"}, rows));
  say_if_more(page->get_object());
  return kDone;
}

int show_agent(const CommonFlags& flags, const app::Environment& environment, const std::string& id,
               const std::optional<int>& version) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto shown = client->call(
      "GET", version ? fmt::format("{}/versions/{}", path_of(id), *version) : path_of(id));
  if (!shown) return report(shown.error());
  if (flags.json) return print_json(*shown);
  const json::object& agent = shown->get_object();
  fmt::print("{}  {}  version {}\n", text_of(agent, "id"), text_of(agent, "model"),
             number_of(agent, "version"));
  fmt::print("name: {}\ncreated: {}\nupdated: {}\ntools: {}\n", name_of(agent),
             time_of(agent, "created_at"), time_of(agent, "updated_at"), tools_of(agent));
  for (const auto& [key, value] : get_object(agent, "metadata"))
    fmt::print("metadata {}: {}\n", std::string_view(key), as_view(value.get_string()));
  if (!text_of(agent, "instructions").empty()) fmt::print("\n{}\n", text_of(agent, "instructions"));
  return kDone;
}

int create_agent(const CommonFlags& flags, const app::Environment& environment,
                 const NewAgent& agent) {
  auto body = body_of(agent);
  if (!body) return report(body.error());
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto made = client->call("POST", std::string(kAgents), std::move(*body));
  if (!made) return report(made.error());
  if (flags.json) return print_json(*made);
  // The id alone on standard output: AGENT=$(perdure agents create …) does what it looks like.
  fmt::print("{}\n", text_of(made->get_object(), "id"));
  return kDone;
}

int list_agent_versions(const CommonFlags& flags, const app::Environment& environment,
                        const std::string& id, int limit) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto page = client->call("GET", fmt::format("{}/versions?limit={}", path_of(id), limit));
  if (!page) return report(page.error());
  if (flags.json) return print_json(*page);
  std::vector<TableRow> rows;
  for (const json::value& value : get_array(page->get_object(), "data")) {
    const json::object& agent = value.get_object();
    rows.push_back({number_of(agent, "version"), time_of(agent, "updated_at"), name_of(agent),
                    text_of(agent, "model"), tools_of(agent)});
  }
  fmt::print("{}", table({"VERSION", "MADE (UTC)", "NAME", "MODEL", "TOOLS"}, rows));
  say_if_more(page->get_object());
  return kDone;
}

int remove_agent(const CommonFlags& flags, const app::Environment& environment,
                 const std::string& id) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto removed = client->call("DELETE", path_of(id));
  if (!removed) return report(removed.error());
  if (flags.json) return print_json(*removed);
  fmt::print("{} is deleted, with all its versions. Sessions made from it go on.\n", id);
  return kDone;
}

}  // namespace perdure::cli
