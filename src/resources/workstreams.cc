#include "resources/workstreams.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/json.h"
#include "journal/viewer.h"
#include "resources/limits.h"

namespace perdure::resources {
namespace {

using journal::kWorkstreamKind;
using journal::kWorkstreamMemberKind;

constexpr std::string_view kAgentKind = "workstream_agent";
constexpr std::string_view kEmptyBody = R"({"v":1})";

std::string to_body(const Workstream& workstream) {
  json::object metadata, members;
  for (const auto& [key, value] : workstream.metadata) metadata[key] = value;
  for (const auto& [subject, role] : workstream.members) members[subject] = to_string(role);
  json::array agents(workstream.agents.begin(), workstream.agents.end());
  return serialize(json::object{{"v", 1},
                                {"created", workstream.created},
                                {"updated", workstream.updated},
                                {"deleted", workstream.deleted},
                                {"description", workstream.description},
                                {"metadata", std::move(metadata)},
                                {"agents", std::move(agents)},
                                {"archived", workstream.archived},
                                {"members", std::move(members)}});
}

std::unexpected<Error> damaged(const journal::Row& row) {
  return fail(
      ErrorCode::kInternal,
      fmt::format("the stored workstream '{}' is damaged, or was written by a newer program",
                  row.id));
}

Result<Workstream> from_row(const journal::Row& row) {
  TRY(value, parse_json(row.body));
  if (!value.is_object() || get_int(value.get_object(), "v") != 1) return damaged(row);
  const json::object& body = value.get_object();
  Workstream workstream{.name = row.id,
                        .version = row.version,
                        .created = get_int(body, "created", row.created),
                        .updated = get_int(body, "updated", row.created),
                        .description = std::string(get_string(body, "description")),
                        .metadata = {},
                        .agents = {},
                        .archived = get_bool(body, "archived"),
                        .deleted = get_bool(body, "deleted"),
                        .members = {}};
  for (const auto& [key, text] : get_object(body, "metadata")) {
    if (!text.is_string()) return damaged(row);
    workstream.metadata.emplace(std::string_view(key), as_view(text.get_string()));
  }
  for (const json::value& agent : get_array(body, "agents")) {
    if (!agent.is_string()) return damaged(row);
    workstream.agents.emplace_back(as_view(agent.get_string()));
  }
  for (const auto& [subject, word] : get_object(body, "members")) {
    // A role that is not known must not open what was closed.
    const auto role =
        word.is_string() ? parse_role(as_view(word.get_string())) : std::optional<Role>();
    if (!role) return damaged(row);
    workstream.members.emplace(std::string_view(subject), *role);
  }
  return workstream;
}

std::unexpected<Error> no_such_workstream() {
  return fail(ErrorCode::kNotFound, "There is no such workstream.");
}

std::unexpected<Error> too_many(std::string_view what, std::size_t most) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("A workstream has at most {} {}.", most, what), std::string(what));
}

bool others_were_faster(const Error& error) {
  return error.code == ErrorCode::kConflict && error.param.empty() && error.reason.empty();
}

}  // namespace

std::string_view to_string(Role role) {
  if (role == Role::kOwner) return "owner";
  return role == Role::kMember ? "member" : "viewer";
}

std::optional<Role> parse_role(std::string_view word) {
  for (Role role : {Role::kViewer, Role::kMember, Role::kOwner})
    if (word == to_string(role)) return role;
  return std::nullopt;
}

bool Workstream::has_owner() const {
  return std::ranges::any_of(members,
                             [](const auto& member) { return member.second == Role::kOwner; });
}

Access Workstream::access_of(const Asker& asker) const {
  if (!asker || !closed()) return Access::kManage;
  const auto member = members.find(*asker);
  if (member == members.end()) return Access::kNone;
  if (member->second == Role::kOwner) return Access::kManage;
  return member->second == Role::kMember ? Access::kWork : Access::kRead;
}

Task<Result<void>> Workstreams::check(ProjectId project, Workstream next) {
  if (next.members.size() > kMaxWorkstreamMembers)
    co_return too_many("members", kMaxWorkstreamMembers);
  if (next.agents.size() > kMaxWorkstreamAgents) co_return too_many("agents", kMaxWorkstreamAgents);
  if (next.closed() && !next.has_owner())
    co_return fail(ErrorCode::kConflict, "A workstream with members needs an owner among them.",
                   "members");
  std::set<std::string> seen;
  for (const std::string& agent : next.agents) {
    if (!seen.insert(agent).second)
      co_return fail(ErrorCode::kInvalidArgument,
                     fmt::format("The agent '{}' stands there twice.", agent), "agents");
    CO_TRY(holder, co_await of_agent(project, agent));
    if (holder && *holder != next.name)
      co_return fail(ErrorCode::kConflict,
                     fmt::format("The agent '{}' belongs to another workstream.", agent), "agents");
  }
  co_return Result<void>{};
}

Task<Result<WrittenWorkstream>> Workstreams::write(ProjectId project, Workstream before,
                                                   Workstream next) {
  CO_TRY_VOID(co_await check(project, next));
  // A clock that was set back must not put a change before its predecessor.
  next.updated = std::max(env_.now(), before.updated);
  const bool begins = before.version == 0 || before.deleted;
  next.created = begins ? next.updated : before.created;
  next.version = before.version + 1;
  journal::RowChanges changes{.project = project};
  const auto put = [&](std::string_view kind, std::string id, std::string parent, std::string body,
                       std::uint64_t version) {
    changes.puts.push_back({.row = {.project = project,
                                    .kind = std::string(kind),
                                    .id = std::move(id),
                                    .parent = std::move(parent),
                                    .created = next.updated,
                                    .body = std::move(body)},
                            .expected_version = version});
  };
  put(kWorkstreamKind, next.name, {}, to_body(next), before.version);
  for (const auto& [subject, role] : next.members)
    if (!before.members.contains(subject))
      put(kWorkstreamMemberKind, journal::member_row_id(next.name, subject), next.name,
          std::string(kEmptyBody), 0);
  for (const auto& [subject, role] : before.members)
    if (!next.members.contains(subject))
      changes.deletes.push_back(
          {std::string(kWorkstreamMemberKind), journal::member_row_id(next.name, subject)});
  const auto has = [](const Workstream& one, const std::string& agent) {
    return std::ranges::find(one.agents, agent) != one.agents.end();
  };
  for (const std::string& agent : next.agents)
    if (!has(before, agent)) put(kAgentKind, agent, next.name, std::string(kEmptyBody), 0);
  for (const std::string& agent : before.agents)
    if (!has(next, agent)) changes.deletes.push_back({std::string(kAgentKind), agent});
  CO_TRY(receipt, co_await store_.write_rows(std::move(changes)));
  co_return WrittenWorkstream{receipt, std::move(next)};
}

Task<Result<Workstream>> Workstreams::read(ProjectId project, std::string name) {
  auto row = co_await store_.get_row(std::move(project), std::string(kWorkstreamKind), name);
  if (row) co_return from_row(*row);
  if (row.error().code == ErrorCode::kNotFound) co_return no_such_workstream();
  co_return std::unexpected(std::move(row).error());
}

Task<Result<Workstream>> Workstreams::find(ProjectId project, std::string name) {
  CO_TRY(found, co_await read(std::move(project), std::move(name)));
  if (found.deleted) co_return no_such_workstream();
  co_return found;
}

Task<Result<WrittenWorkstream>> Workstreams::create(ProjectId project, Workstream draft) {
  for (int attempt = 1;; ++attempt) {
    auto there = co_await read(project, draft.name);
    if (!there && there.error().code != ErrorCode::kNotFound)
      co_return std::unexpected(std::move(there).error());
    if (there && !there->deleted)
      co_return fail(ErrorCode::kConflict, fmt::format("A workstream '{}' exists.", draft.name),
                     "name");
    Workstream before = there ? std::move(*there) : Workstream{.version = 0};
    auto written = co_await write(project, std::move(before), draft);
    if (written || !others_were_faster(written.error()) || attempt == kUpdateAttempts)
      co_return written;
  }
}

Task<Result<WrittenWorkstream>> Workstreams::change(ProjectId project, std::string name,
                                                    Change change) {
  for (int attempt = 1;; ++attempt) {
    CO_TRY(newest, co_await find(project, name));
    CO_TRY(next, change(newest));
    auto written = co_await write(project, std::move(newest), std::move(next));
    // A row beside it that somebody else took away is not found; the next attempt knows.
    const bool again = !written && (others_were_faster(written.error()) ||
                                    written.error().code == ErrorCode::kNotFound);
    if (!again || attempt == kUpdateAttempts) co_return written;
  }
}

Task<Result<Committed>> Workstreams::remove(ProjectId project, std::string name, Change allowed) {
  for (int attempt = 1;; ++attempt) {
    CO_TRY(newest, co_await find(project, name));
    CO_TRY(permitted, allowed(newest));
    if (!permitted.archived)
      co_return fail(ErrorCode::kConflict,
                     "Only an archived workstream can be deleted: archive it first.");
    journal::SessionQuery query{.project = project, .after = {}, .limit = 1};
    query.workstream = name;
    CO_TRY(sessions, co_await store_.list_sessions(std::move(query)));
    if (!sessions.empty())
      co_return fail(ErrorCode::kConflict,
                     "The workstream has sessions. Delete them first, or leave it archived.");
    // Its row stays as a mark with a version, so that a change at the same time is not overrun.
    Workstream gone{.name = name, .version = 0, .deleted = true};
    auto written = co_await write(project, std::move(newest), std::move(gone));
    if (written) co_return written->receipt;
    const bool again =
        others_were_faster(written.error()) || written.error().code == ErrorCode::kNotFound;
    if (!again || attempt == kUpdateAttempts) co_return std::unexpected(written.error());
  }
}

Task<Result<void>> Workstreams::ensure(ProjectId project, std::string name) {
  auto there = co_await find(project, name);
  if (there) co_return Result<void>{};
  if (there.error().code != ErrorCode::kNotFound)
    co_return std::unexpected(std::move(there).error());
  auto made = co_await create(std::move(project), {.name = std::move(name)});
  if (!made && made.error().code != ErrorCode::kConflict)
    co_return std::unexpected(std::move(made).error());
  co_return Result<void>{};  // a conflict: somebody else has just made it
}

Task<Result<WorkstreamList>> Workstreams::list(ProjectId project, WorkstreamPage page,
                                               Asker asker) {
  const auto sees = [&](const Workstream& one) {
    return !one.deleted && one.access_of(asker) != Access::kNone;
  };
  if (page.after) {
    CO_TRY(cursor, co_await find(project, *page.after));
    if (!sees(cursor)) co_return no_such_workstream();
  }
  WorkstreamList list;
  journal::RowQuery query{.project = std::move(project),
                          .kind = std::string(kWorkstreamKind),
                          .parent = {},
                          .after = std::move(page.after),
                          .limit = kWorkstreamsAtOnce,
                          .ascending = page.ascending};
  while (true) {
    CO_TRY(rows, co_await store_.list_rows(query));
    for (const journal::Row& row : rows) {
      CO_TRY(one, from_row(row));
      if (!sees(one) || (one.archived && !page.with_archived)) continue;
      if (list.data.size() == page.limit) {
        list.has_more = true;
        co_return list;
      }
      list.data.push_back(std::move(one));
    }
    if (rows.size() < query.limit) co_return list;
    query.after = rows.back().id;
  }
}

Task<Result<std::set<std::string>>> Workstreams::hidden_from(ProjectId project, Asker asker) {
  std::set<std::string> hidden;
  if (!asker) co_return hidden;
  journal::RowQuery query{.project = std::move(project),
                          .kind = std::string(kWorkstreamKind),
                          .parent = {},
                          .after = {},
                          .limit = kWorkstreamsAtOnce,
                          .ascending = true};
  while (true) {
    CO_TRY(rows, co_await store_.list_rows(query));
    for (const journal::Row& row : rows) {
      CO_TRY(one, from_row(row));
      if (one.access_of(asker) == Access::kNone) hidden.insert(std::move(one.name));
    }
    if (rows.size() < query.limit) co_return hidden;
    query.after = rows.back().id;
  }
}

Task<Result<Access>> Workstreams::access(ProjectId project, std::optional<std::string> name,
                                         Asker asker) {
  if (!name || !asker) co_return Access::kManage;
  auto found = co_await find(std::move(project), *std::move(name));
  if (found) co_return found->access_of(asker);
  if (found.error().code == ErrorCode::kNotFound) co_return Access::kManage;
  co_return std::unexpected(std::move(found).error());
}

Task<Result<Access>> Workstreams::access_to_session(SessionKey key, Asker asker) {
  CO_TRY(row, co_await store_.session(key));
  co_return co_await access(std::move(key.project), std::move(row.workstream), std::move(asker));
}

Task<Result<std::optional<std::string>>> Workstreams::of_agent(ProjectId project,
                                                               std::string agent) {
  auto row = co_await store_.get_row(std::move(project), std::string(kAgentKind), std::move(agent));
  if (row) co_return std::move(row->parent);
  if (row.error().code == ErrorCode::kNotFound) co_return std::nullopt;
  co_return std::unexpected(std::move(row).error());
}

}  // namespace perdure::resources
