#include "resources/saved_agents.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "base/raw_json.h"
#include "resources/limits.h"

namespace perdure::resources {
namespace {

// The newest version's body stands in the agent's own row too, so that reading it and listing
// agents is one query. That row's version is the agent's.
constexpr std::string_view kAgentKind = "agent";
constexpr std::string_view kVersionKind = "agent_version";
constexpr std::string_view kDeletedKind = "agent_deleted";

/// Ids of version rows sort like their numbers.
std::string version_id(std::string_view agent, std::uint64_t version) {
  return fmt::format("{}/{:010}", agent, version);
}

template <class Texts, class AppendValue>
void append_members(std::string& out, const Texts& texts, AppendValue append_value) {
  out += '{';
  for (bool first = true; const auto& [key, value] : texts) {
    if (!std::exchange(first, false)) out += ',';
    append_quoted(out, key);
    out += ':';
    append_value(value);
  }
  out += '}';
}

/// Text, not a tree: the settings' bytes go in and come out as they are.
std::string to_body(const SavedAgent& agent) {
  const AgentDefinition& definition = agent.definition;
  std::string out = fmt::format(R"({{"v":1,"version":{},"created":{},"updated":{},"name":)",
                                agent.version, agent.created, agent.updated);
  if (definition.name)
    append_quoted(out, *definition.name);
  else
    out += "null";
  out += R"(,"metadata":)";
  append_members(out, definition.metadata,
                 [&](const std::string& value) { append_quoted(out, value); });
  out += R"(,"settings":)";
  append_members(out, definition.settings, [&](const std::string& value) { out += value; });
  out += '}';
  return out;
}

Result<SavedAgent> from_row(const journal::Row& row) {
  SavedAgent agent;
  agent.id = row.kind == kVersionKind ? row.parent : row.id;
  json::object head;
  bool known = false;
  for_each_raw_member(row.body, [&](std::string_view key, std::string_view value) {
    if (key == "v") {
      known = value == "1";
    } else if (key == "name") {
      if (value != "null") agent.definition.name = decode_json_string(value);
    } else if (key == "metadata") {
      for_each_raw_member(value, [&](std::string_view name, std::string_view text) {
        agent.definition.metadata.emplace(name, decode_json_string(text));
      });
    } else if (key == "settings") {
      for_each_raw_member(value, [&](std::string_view name, std::string_view text) {
        agent.definition.settings.emplace(name, text);
      });
    } else if (auto number = parse_json(value)) {
      head[key] = std::move(*number);
    }
  });
  agent.version = static_cast<std::uint64_t>(get_int(head, "version"));
  agent.created = get_int(head, "created");
  agent.updated = get_int(head, "updated");
  if (!known || agent.version == 0)
    return fail(ErrorCode::kInternal, fmt::format("the stored agent '{}' is damaged, or was "
                                                  "written by a newer program",
                                                  row.id));
  return agent;
}

Result<AgentList> from_rows(std::vector<journal::Row> rows, std::size_t limit) {
  AgentList list{.has_more = rows.size() > limit};
  if (list.has_more) rows.resize(limit);
  for (const journal::Row& row : rows) {
    TRY(agent, from_row(row));
    list.data.push_back(std::move(agent));
  }
  return list;
}

}  // namespace

Task<Result<WrittenAgent>> SavedAgents::create(ProjectId project, AgentDefinition definition,
                                               KeepAnswer keep_answer) {
  SavedAgent agent{.id = new_id("agent", env_), .definition = std::move(definition)};
  agent.created = agent.updated = env_.now();
  co_return co_await write(std::move(project), std::move(agent), std::move(keep_answer));
}

Task<Result<WrittenAgent>> SavedAgents::update(ProjectId project, std::string id, Change change,
                                               KeepAnswer keep_answer) {
  for (int attempt = 1;; ++attempt) {
    CO_TRY(newest, co_await find(project, id));
    CO_TRY(definition, change(newest));
    SavedAgent next = newest;
    next.definition = std::move(definition);
    next.version = newest.version + 1;
    // A clock that was set back must not put a version before its predecessor.
    next.updated = std::max(env_.now(), newest.updated);
    auto written = co_await write(project, std::move(next), keep_answer);
    bool others_were_faster =
        !written && written.error().code == ErrorCode::kConflict && written.error().reason.empty();
    if (!others_were_faster || attempt == kUpdateAttempts) co_return written;
  }
}

Task<Result<WrittenAgent>> SavedAgents::write(ProjectId project, SavedAgent agent,
                                              KeepAnswer keep_answer) {
  std::string body = to_body(agent);
  journal::RowChanges changes{.project = project};
  changes.puts.push_back({.row = {.project = project,
                                  .kind = std::string(kVersionKind),
                                  .id = version_id(agent.id, agent.version),
                                  .parent = agent.id,
                                  .created = agent.updated,
                                  .body = body},
                          .expected_version = 0});
  changes.puts.push_back({.row = {.project = project,
                                  .kind = std::string(kAgentKind),
                                  .id = agent.id,
                                  .parent = {},
                                  .created = agent.created,
                                  .body = std::move(body)},
                          .expected_version = agent.version - 1});
  if (keep_answer) changes.idempotency = keep_answer(agent);
  CO_TRY(receipt, co_await store_.write_rows(std::move(changes)));
  co_return WrittenAgent{receipt, std::move(agent)};
}

Task<Result<Committed>> SavedAgents::remove(ProjectId project, std::string id) {
  journal::RowChanges changes{.project = project};
  changes.deletes.push_back({std::string(kAgentKind), id});
  changes.clear.push_back({std::string(kVersionKind), id});
  changes.puts.push_back({.row = {.project = project,
                                  .kind = std::string(kDeletedKind),
                                  .id = id,
                                  .parent = {},
                                  .body = R"({"v":1})"},
                          .expected_version = 0});
  auto receipt = co_await store_.write_rows(std::move(changes));
  if (receipt || receipt.error().code != ErrorCode::kNotFound) co_return receipt;
  CO_TRY(deleted, co_await store_.get_row(project, std::string(kDeletedKind), id));
  co_return journal::JournalStore::receipt_of(deleted);
}

Task<Result<SavedAgent>> SavedAgents::find(ProjectId project, std::string id,
                                           std::optional<std::uint64_t> version) {
  std::string_view kind = version ? kVersionKind : kAgentKind;
  if (version) id = version_id(id, *version);
  CO_TRY(row, co_await store_.get_row(std::move(project), std::string(kind), std::move(id)));
  co_return from_row(row);
}

Task<Result<AgentList>> SavedAgents::list(ProjectId project, AgentPage page) {
  journal::RowQuery query{.project = std::move(project),
                          .kind = std::string(kAgentKind),
                          .parent = {},
                          .after = std::move(page.after),
                          .limit = page.limit + 1,
                          .ascending = page.ascending};
  CO_TRY(rows, co_await store_.list_rows(std::move(query)));
  co_return from_rows(std::move(rows), page.limit);
}

Task<Result<AgentList>> SavedAgents::versions(ProjectId project, std::string id, VersionPage page) {
  CO_TRY_VOID(co_await find(project, id));
  journal::RowQuery query{.project = std::move(project),
                          .kind = std::string(kVersionKind),
                          .parent = id,
                          .after = {},
                          .limit = page.limit + 1,
                          .ascending = page.ascending};
  if (page.after) query.after = version_id(id, *page.after);
  CO_TRY(rows, co_await store_.list_rows(std::move(query)));
  co_return from_rows(std::move(rows), page.limit);
}

}  // namespace perdure::resources
