#include "facades/admin/workstreams_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/log.h"
#include "facades/admin/budget_wire.h"
#include "facades/admin/errors.h"
#include "facades/admin/limits.h"
#include "facades/admin/requests.h"
#include "facades/admin/workstreams_wire.h"
#include "facades/common/json_reader.h"
#include "facades/common/json_writer.h"
#include "facades/common/viewer.h"

namespace perdure::facades::admin {
namespace {

using async::Task;
using journal::Budget;
using journal::BudgetScope;
using resources::Access;
using resources::Asker;
using resources::Role;
using resources::Workstream;

Result<bool> read_order(const http::Query& query) {
  TRY(order, read_parameter(query, "order"));
  if (order && *order != "asc" && *order != "desc")
    return wrong("order must be asc or desc.", "order");
  return order == "asc";
}

Result<bool> read_archived(const http::Query& query) {
  TRY(word, read_parameter(query, "include_archived"));
  if (word && *word != "true" && *word != "false")
    return wrong("include_archived must be true or false.", "include_archived");
  return word == "true";
}

/// kNotFound for who does not see it, kPermissionDenied for who may not change it.
Result<void> may_manage(const Workstream& workstream, const Asker& asker) {
  const Access access = workstream.access_of(asker);
  if (access == Access::kNone) return fail(ErrorCode::kNotFound, "There is no such workstream.");
  if (access != Access::kManage)
    return fail(ErrorCode::kPermissionDenied, "Only an owner of the workstream may change it.");
  return {};
}

/// Whoever gives an open workstream members stays in it.
void keep_in(const Asker& asker, Workstream* workstream) {
  if (asker && workstream->closed()) workstream->members.try_emplace(*asker, Role::kOwner);
}

void log_change(std::string_view what, const identity::Caller& caller, std::string_view name,
                std::string_view subject = {}) {
  log::info(what, {{"project", caller.project.value},
                   {"workstream", name},
                   {"subject", subject},
                   {"by", caller.principal}});
}

}  // namespace

void WorkstreamsApi::add_routes(http::Router& router) {
  const auto add = [&](std::string method, std::string path, std::string summary,
                       Operation operation, std::vector<http::QueryParameter> query = {}) {
    query.push_back({"project", "Another project's; for the operator"});
    router.add({.method = std::move(method),
                .path = std::move(path),
                .summary = std::move(summary),
                .tag = "workstreams",
                .query = std::move(query),
                .max_body = kMaxBody,
                .handler = std::bind_front(&WorkstreamsApi::serve, this, operation)});
  };
  add("POST", "/api/workstreams", "Make a workstream", &WorkstreamsApi::create);
  add("GET", "/api/workstreams", "List workstreams", &WorkstreamsApi::list,
      {{"limit", "Workstreams on a page, at most 1000 [100]"},
       {"after", "The name of the last workstream of the page before"},
       {"order", "asc: the oldest first; desc [desc]"},
       {"include_archived", "true: archived ones too [false]"}});
  add("GET", "/api/workstreams/{name}", "Read a workstream", &WorkstreamsApi::show);
  add("POST", "/api/workstreams/{name}", "Change a workstream", &WorkstreamsApi::change);
  add("DELETE", "/api/workstreams/{name}", "Delete an archived workstream without sessions",
      &WorkstreamsApi::remove);
  add("PUT", "/api/workstreams/{name}/members/{subject}", "Make somebody a member",
      &WorkstreamsApi::put_member);
  add("DELETE", "/api/workstreams/{name}/members/{subject}", "Remove a member",
      &WorkstreamsApi::remove_member);
  add("PUT", "/api/workstreams/{name}/budget", "Set a workstream's budget",
      &WorkstreamsApi::put_budget);
  add("DELETE", "/api/workstreams/{name}/budget", "Remove a workstream's budget",
      &WorkstreamsApi::remove_budget);
}

Task<http::Response> WorkstreamsApi::serve(Operation operation, http::Request request) {
  const std::string request_id = request.request_id;
  auto caller = co_await caller_in_project(request);
  if (!caller) co_return error_response(caller.error());
  Answer answer = co_await (this->*operation)(std::move(request), std::move(*caller));
  if (answer) co_return std::move(*answer);
  if (answer.error().code == ErrorCode::kInternal)
    log::error("a request failed", {{"request", request_id}, {"error", answer.error().message}});
  co_return error_response(answer.error());
}

Task<Result<identity::Caller>> WorkstreamsApi::caller_in_project(http::Request request) {
  identity::Caller caller = parts_.caller_of(request);
  CO_TRY(named, read_parameter(request.query, "project"));
  if (!named || *named == caller.project.value) co_return caller;
  bool there = false;
  if (caller.operator_access) {
    CO_TRY(exists, co_await parts_.keys.project_exists(*named));
    there = exists;
  }
  if (!there) co_return fail(ErrorCode::kNotFound, "There is no such project.", "project");
  caller.project = ProjectId{*named};
  co_return caller;
}

Task<Result<void>> WorkstreamsApi::check_subject(ProjectId project, std::string subject,
                                                 std::string param) {
  auto key = co_await parts_.keys.find(subject);
  if (!key && key.error().code != ErrorCode::kNotFound)
    co_return std::unexpected(std::move(key).error());
  // Keys of other projects and ids that never were look the same.
  if (!key || key->project != project.value || key->revoked)
    co_return wrong(fmt::format("'{}' is not the id of a key of this project, such as "
                                "'perdure keys ls' shows it.",
                                subject.substr(0, 64)),
                    std::move(param));
  co_return Result<void>{};
}

Task<Result<void>> WorkstreamsApi::check_agents(ProjectId project,
                                                std::vector<std::string> agents) {
  for (const std::string& agent : agents) {
    auto found = co_await parts_.agents.find(project, agent);
    if (found) continue;
    if (found.error().code != ErrorCode::kNotFound)
      co_return std::unexpected(std::move(found).error());
    co_return wrong(fmt::format("No agent found with id '{}'.", agent.substr(0, 64)), "agents");
  }
  co_return Result<void>{};
}

Task<WorkstreamsApi::Answer> WorkstreamsApi::answer(int status, identity::Caller caller,
                                                    Workstream workstream) {
  CO_TRY(budgets, co_await parts_.accounts.budgets(caller.project));
  const auto budget = std::ranges::find_if(budgets, [&](const Budget& one) {
    return one.scope == BudgetScope::kWorkstream && one.id == workstream.name;
  });
  std::string body;
  append_workstream(body, workstream, asker_of(caller),
                    budget == budgets.end() ? nullptr : &*budget);
  co_return http::json_response(status, std::move(body));
}

Task<WorkstreamsApi::Answer> WorkstreamsApi::create(http::Request request,
                                                    identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(body, read_body(request));
  CO_TRY(draft, read_new_workstream(body));
  for (const auto& [subject, role] : draft.members)
    CO_TRY_VOID(co_await check_subject(caller.project, subject, "members"));
  CO_TRY_VOID(co_await check_agents(caller.project, draft.agents));
  keep_in(asker_of(caller), &draft);
  CO_TRY(made, co_await parts_.workstreams.create(caller.project, std::move(draft)));
  log_change("a workstream was made", caller, made.workstream.name);
  co_return co_await answer(201, std::move(caller), std::move(made.workstream));
}

Task<WorkstreamsApi::Answer> WorkstreamsApi::list(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {"limit", "after", "order", "include_archived"}));
  CO_TRY(page, read_page(request.query));
  CO_TRY(ascending, read_order(request.query));
  CO_TRY(with_archived, read_archived(request.query));
  const Asker asker = asker_of(caller);
  const bool has_cursor = page.after.has_value();
  auto listed = co_await parts_.workstreams.list(
      caller.project, {std::move(page.after), page.limit, ascending, with_archived}, asker);
  if (!listed && has_cursor && listed.error().code == ErrorCode::kNotFound)
    co_return wrong("after must be the name of a workstream.", "after");
  if (!listed) co_return std::unexpected(std::move(listed).error());
  CO_TRY(budgets, co_await parts_.accounts.budgets(caller.project));
  std::map<std::string, const Budget*> by_name;
  for (const Budget& budget : budgets)
    if (budget.scope == BudgetScope::kWorkstream) by_name.emplace(budget.id, &budget);
  std::string body;
  ObjectWriter writer(body);
  append_array(writer.begin("data"), listed->data, [&](std::string& out, const Workstream& one) {
    const auto budget = by_name.find(one.name);
    append_workstream(out, one, asker, budget == by_name.end() ? nullptr : budget->second);
  });
  writer.boolean("has_more", listed->has_more);
  if (listed->has_more && !listed->data.empty())
    writer.text("next", listed->data.back().name);
  else
    writer.null("next");
  writer.end();
  co_return http::json_response(200, std::move(body));
}

Task<WorkstreamsApi::Answer> WorkstreamsApi::show(http::Request request, identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(found, co_await parts_.workstreams.find(caller.project, request.parameters.at(0)));
  if (found.access_of(asker_of(caller)) == Access::kNone)
    co_return fail(ErrorCode::kNotFound, "There is no such workstream.");
  co_return co_await answer(200, std::move(caller), std::move(found));
}

Task<WorkstreamsApi::Answer> WorkstreamsApi::change(http::Request request,
                                                    identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  const std::string name = request.parameters.at(0);
  const Asker asker = asker_of(caller);
  CO_TRY(newest, co_await parts_.workstreams.find(caller.project, name));
  CO_TRY_VOID(may_manage(newest, asker));
  CO_TRY(body, read_body(request));
  CO_TRY(wanted, read_changed_workstream(body, std::move(newest)));
  if (body.find("agents"))
    CO_TRY_VOID(co_await check_agents(caller.project, std::move(wanted.agents)));
  auto change = [body, asker](const Workstream& now) -> Result<Workstream> {
    TRY_VOID(may_manage(now, asker));
    return read_changed_workstream(body, now);
  };
  CO_TRY(changed, co_await parts_.workstreams.change(caller.project, name, std::move(change)));
  log_change("a workstream was changed", caller, name);
  co_return co_await answer(200, std::move(caller), std::move(changed.workstream));
}

Task<WorkstreamsApi::Answer> WorkstreamsApi::remove(http::Request request,
                                                    identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  const std::string name = request.parameters.at(0);
  auto allowed = [asker = asker_of(caller)](const Workstream& now) -> Result<Workstream> {
    TRY_VOID(may_manage(now, asker));
    return now;
  };
  CO_TRY_VOID(co_await parts_.workstreams.remove(caller.project, name, std::move(allowed)));
  log_change("a workstream was deleted", caller, name);
  // A later one of this name is another one, with a budget of its own.
  auto removed =
      co_await parts_.accounts.delete_budget(caller.project, BudgetScope::kWorkstream, name);
  if (!removed && removed.error().code != ErrorCode::kNotFound)
    co_return std::unexpected(std::move(removed).error());
  std::string body;
  ObjectWriter(body).text("object", "workstream").text("name", name).boolean("deleted", true).end();
  co_return http::json_response(200, std::move(body));
}

// ---- members ----------------------------------------------------------------------------------

Task<WorkstreamsApi::Answer> WorkstreamsApi::put_member(http::Request request,
                                                        identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  const std::string name = request.parameters.at(0);
  const std::string subject = request.parameters.at(1);
  const Asker asker = asker_of(caller);
  CO_TRY(newest, co_await parts_.workstreams.find(caller.project, name));
  CO_TRY_VOID(may_manage(newest, asker));
  CO_TRY(body, read_body(request));
  CO_TRY_VOID(body.allow({"role"}));
  CO_TRY(role, read_role(body));
  CO_TRY_VOID(co_await check_subject(caller.project, subject, "subject"));
  auto change = [&](const Workstream& now) -> Result<Workstream> {
    TRY_VOID(may_manage(now, asker));
    Workstream next = now;
    next.members.insert_or_assign(subject, role);
    if (!now.closed()) keep_in(asker, &next);
    return next;
  };
  CO_TRY(changed, co_await parts_.workstreams.change(caller.project, name, change));
  log_change(fmt::format("a workstream has a {}", to_string(role)), caller, name, subject);
  co_return co_await answer(200, std::move(caller), std::move(changed.workstream));
}

Task<WorkstreamsApi::Answer> WorkstreamsApi::remove_member(http::Request request,
                                                           identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  const std::string name = request.parameters.at(0);
  const std::string subject = request.parameters.at(1);
  const Asker asker = asker_of(caller);
  auto change = [&](const Workstream& now) -> Result<Workstream> {
    // Anybody may leave.
    const bool leaves = asker == subject && now.members.contains(subject);
    if (!leaves) TRY_VOID(may_manage(now, asker));
    Workstream next = now;
    if (next.members.erase(subject) == 0)
      return fail(ErrorCode::kNotFound, "There is no such member.", "subject");
    return next;
  };
  CO_TRY(changed, co_await parts_.workstreams.change(caller.project, name, change));
  log_change("a member of a workstream was removed", caller, name, subject);
  // Who has left a closed workstream does not see it any more: its own answer says only that.
  if (changed.workstream.access_of(asker) == Access::kNone)
    co_return http::json_response(200, R"({"object":"workstream","left":true})");
  co_return co_await answer(200, std::move(caller), std::move(changed.workstream));
}

// ---- budget -----------------------------------------------------------------------------------

Task<WorkstreamsApi::Answer> WorkstreamsApi::put_budget(http::Request request,
                                                        identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  const std::string name = request.parameters.at(0);
  CO_TRY(found, co_await parts_.workstreams.find(caller.project, name));
  CO_TRY_VOID(may_manage(found, asker_of(caller)));
  CO_TRY(body, read_body(request));
  Budget budget{.project = caller.project, .scope = BudgetScope::kWorkstream, .id = name};
  CO_TRY_VOID(read_budget(body, &budget));
  CO_TRY(kept, co_await parts_.accounts.put_budget(std::move(budget)));
  log_change("a workstream's budget was set", caller, name);
  std::string text;
  append_budget(text, kept);
  co_return http::json_response(200, std::move(text));
}

Task<WorkstreamsApi::Answer> WorkstreamsApi::remove_budget(http::Request request,
                                                           identity::Caller caller) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  const std::string name = request.parameters.at(0);
  CO_TRY(found, co_await parts_.workstreams.find(caller.project, name));
  CO_TRY_VOID(may_manage(found, asker_of(caller)));
  auto removed =
      co_await parts_.accounts.delete_budget(caller.project, BudgetScope::kWorkstream, name);
  if (!removed && removed.error().code == ErrorCode::kNotFound)
    co_return fail(ErrorCode::kNotFound, "There is no such budget.");
  if (!removed) co_return std::unexpected(std::move(removed).error());
  log_change("a workstream's budget was removed", caller, name);
  std::string body;
  ObjectWriter(body).text("scope", "workstream").text("id", name).boolean("deleted", true).end();
  co_return http::json_response(200, std::move(body));
}

}  // namespace perdure::facades::admin
