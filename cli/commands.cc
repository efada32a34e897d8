#include "cli/commands.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/pages.h"
#include "cli/printing.h"
#include "main/version.h"

namespace perdure::cli {
int create_key(const CommonFlags& flags, const app::Environment& environment,
               const std::string& project, const std::string& name) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto made = client->call(
      "POST", "/api/keys", perdure::serialize(json::object{{"project", project}, {"name", name}}));
  if (!made) return report(made.error());
  if (flags.json) return print_json(*made);
  const json::object& key = made->get_object();
  // The key alone on standard output: KEY=$(perdure keys create) does what it looks like.
  fmt::print("{}\n", get_string(key, "key"));
  fmt::print(stderr,
             "Made {} for project '{}'{}. This is the only time it is shown; 'perdure keys revoke "
             "{}' ends it.\n",
             get_string(key, "id"), get_string(key, "project"),
             get_bool(key, "project_created") ? " (a new project)" : "", get_string(key, "id"));
  return kDone;
}

int list_keys(const CommonFlags& flags, const app::Environment& environment,
              const std::optional<std::string>& project) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto keys = all_pages(*client, with_parameter("/api/keys", "project", project), "id");
  if (!keys) return report(keys.error());
  if (flags.json) return print_json(json::object{{"data", *keys}});
  if (keys->empty()) {
    fmt::print("There are no keys. Make one with 'perdure keys create'.\n");
    return kDone;
  }
  std::vector<TableRow> rows;
  for (const json::value& value : *keys) {
    const json::object& key = value.get_object();
    rows.push_back({text_of(key, "id"), text_of(key, "project"), text_of(key, "last4"),
                    time_of(key, "created_at"),
                    get_int(key, "revoked_at") == 0 ? "active" : "revoked", text_of(key, "name")});
  }
  fmt::print("{}", table({"ID", "PROJECT", "ENDS", "CREATED (UTC)", "STATE", "NAME"}, rows));
  return kDone;
}

int revoke_key(const CommonFlags& flags, const app::Environment& environment,
               const std::string& id) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto revoked = client->call("DELETE", "/api/keys/" + percent_encoded(id));
  if (!revoked) return report(revoked.error());
  if (flags.json) return print_json(*revoked);
  fmt::print("{} is revoked. It is refused from now on.\n", id);
  return kDone;
}

int list_sessions(const CommonFlags& flags, const app::Environment& environment, int limit,
                  const std::optional<std::string>& workstream) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  ApiClient::Headers headers;
  if (workstream) headers.emplace_back("X-Perdure-Workstream", *workstream);
  const auto page = client->call("GET", fmt::format("/v1/agents/sessions?limit={}", limit), {},
                                 std::move(headers));
  if (!page) return report(page.error());
  if (flags.json) return print_json(*page);
  const json::array& sessions = get_array(page->get_object(), "data");
  if (sessions.empty()) {
    fmt::print("There are no sessions.\n");
    return kDone;
  }
  std::vector<TableRow> rows;
  for (const json::value& value : sessions) {
    const json::object& session = value.get_object();
    rows.push_back({text_of(session, "id"), text_of(session, "status"),
                    text_of(get_object(session, "agent"), "model"), time_of(session, "created_at"),
                    find(session, "workstream") ? text_of(session, "workstream") : "-"});
  }
  fmt::print("{}", table({"ID", "STATUS", "MODEL", "CREATED (UTC)", "WORKSTREAM"}, rows));
  if (get_bool(page->get_object(), "has_more"))
    fmt::print("There are more: --limit shows up to 100 of them.\n");
  return kDone;
}

int show_session(const CommonFlags& flags, const app::Environment& environment,
                 const std::string& id) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const std::string path = "/v1/agents/sessions/" + percent_encoded(id);
  const auto session = client->call("GET", path);
  if (!session) return report(session.error());
  const auto items = all_pages(*client, path + "/items?order=asc&limit=100", "id");
  if (!items) return report(items.error());
  if (flags.json) return print_json(json::object{{"session", *session}, {"items", *items}});

  const json::object& view = session->get_object();
  fmt::print("{}  {}  {}\n", text_of(view, "id"), text_of(view, "status"),
             text_of(get_object(view, "agent"), "model"));
  if (find(view, "workstream")) fmt::print("workstream: {}\n", text_of(view, "workstream"));
  for (const json::value& value : *items) {
    const json::object& item = value.get_object();
    const std::string type = text_of(item, "type");
    if (type == "message") {
      fmt::print("\n{}:\n", text_of(item, "role"));
      for (const json::value& part : get_array(item, "content"))
        fmt::print("  {}\n", get_string(part.get_object(), "text"));
    } else {
      fmt::print("\n{}: {}\n", type, perdure::serialize(value));
    }
  }
  return kDone;
}

int tail_session(const CommonFlags& flags, const app::Environment& environment,
                 const std::string& id) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto show = [&](std::string_view data) {
    const auto event = parse_json(data);
    if (flags.json || !event || !event->is_object()) {
      fmt::print("{}\n", data);
    } else {
      const json::object& object = event->get_object();
      std::string detail = text_of(object, "delta");
      if (find(object, "error")) detail = text_of(get_object(object, "error"), "message");
      fmt::print("{}{}{}\n", get_string(object, "type"), detail.empty() ? "" : "  ", detail);
    }
    std::fflush(stdout);  // who reads along wants it now
  };
  const auto ended = client->follow(
      fmt::format("/v1/agents/sessions/{}/events?include_obfuscation=false", percent_encoded(id)),
      show);
  return ended ? kDone : report(ended.error());
}

int cancel_session(const CommonFlags& flags, const app::Environment& environment,
                   const std::string& id) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto sent =
      client->call("POST", fmt::format("/v1/agents/sessions/{}/events", percent_encoded(id)),
                   R"({"events":[{"type":"agent.session.input.cancel"}]})");
  if (!sent) return report(sent.error());
  if (flags.json) return print_json(json::object{{"id", id}, {"cancelled", true}});
  fmt::print("{}: what ran is cancelled.\n", id);
  return kDone;
}

int stop(const CommonFlags& flags, const app::Environment& environment, const std::string& scope,
         const std::string& id, const std::string& reason,
         const std::optional<std::string>& project) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  json::object order{{"scope", scope}, {"id", id}, {"reason", reason}};
  if (project) order["project"] = *project;
  const auto made = client->call("POST", "/api/stops", perdure::serialize(order));
  if (!made) return report(made.error());
  if (flags.json) return print_json(*made);
  const json::object& stop = made->get_object();
  fmt::print("{}\n", get_string(stop, "id"));
  fmt::print(stderr,
             "The {} '{}' of project '{}' is stopped; {} running calls were told to end. 'perdure "
             "stops lift {}' lifts it.\n",
             scope, id, get_string(stop, "project"), get_int(stop, "calls_cancelled"),
             get_string(stop, "id"));
  return kDone;
}

int list_stops(const CommonFlags& flags, const app::Environment& environment,
               const std::optional<std::string>& project, bool with_lifted) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  std::string path = fmt::format("/api/stops?include_lifted={}", with_lifted);
  if (project) path += "&project=" + percent_encoded(*project);
  const auto stops = all_pages(*client, path, "id");
  if (!stops) return report(stops.error());
  if (flags.json) return print_json(json::object{{"data", *stops}});
  if (stops->empty()) {
    fmt::print("Nothing is stopped.\n");
    return kDone;
  }
  std::vector<TableRow> rows;
  for (const json::value& value : *stops) {
    const json::object& stop = value.get_object();
    rows.push_back(
        {text_of(stop, "id"), text_of(stop, "project"), text_of(stop, "scope"),
         text_of(stop, "target"), time_of(stop, "created_at"), text_of(stop, "created_by"),
         get_int(stop, "lifted_at") == 0 ? "in force" : "lifted", text_of(stop, "reason")});
  }
  fmt::print(
      "{}",
      table({"ID", "PROJECT", "SCOPE", "TARGET", "SINCE (UTC)", "BY", "STATE", "REASON"}, rows));
  return kDone;
}

int lift_stop(const CommonFlags& flags, const app::Environment& environment,
              const std::string& id) {
  const auto client = ApiClient::connect(flags.server, environment);
  if (!client) return report(client.error());
  const auto lifted = client->call("DELETE", "/api/stops/" + percent_encoded(id));
  if (!lifted) return report(lifted.error());
  if (flags.json) return print_json(*lifted);
  fmt::print("{} is lifted. Nothing begins by itself: send the sessions a message to go on.\n", id);
  return kDone;
}

int print_version(bool as_json) {
  const app::Version version = app::version();
  if (as_json)
    return print_json(json::object{{"version", version.number},
                                   {"commit", version.commit},
                                   {"compiler", version.compiler},
                                   {"build_type", version.build_type}});
  fmt::print("perdure {} (commit {}, {}, {})\n", version.number, version.commit, version.compiler,
             version.build_type);
  return kDone;
}

}  // namespace perdure::cli
