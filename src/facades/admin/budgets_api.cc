#include "facades/admin/budgets_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "facades/admin/budget_wire.h"
#include "facades/admin/errors.h"
#include "facades/admin/limits.h"
#include "facades/admin/requests.h"
#include "facades/common/json_reader.h"
#include "facades/common/json_writer.h"
#include "facades/common/viewer.h"

namespace perdure::facades::admin {
namespace {

using async::Task;
using journal::Budget;
using journal::BudgetScope;
using journal::Money;
using journal::UsageBy;
using journal::UsageCounts;

Result<std::string> day(const http::Query& query, std::string_view key) {
  TRY(text, read_parameter(query, key));
  if (text && !journal::parse_day(*text))
    return wrong(fmt::format("{} must be a day such as 2026-02-03.", key), std::string(key));
  return text.value_or("");
}

Result<std::vector<UsageBy>> dimensions(const http::Query& query) {
  std::vector<UsageBy> by;
  TRY(text, read_parameter(query, "group_by"));
  if (!text) return by;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    const auto dimension = journal::parse_usage_by(word);
    if (!dimension || std::ranges::find(by, *dimension) != by.end())
      return wrong(
          "group_by is a list of day, workstream, agent, session, model, provider, each "
          "once, with commas between them.",
          "group_by");
    by.push_back(*dimension);
  }
  return by;
}

/// The cursor is what `next` of the page before said: the values of its last row.
Result<std::vector<std::string>> cursor(const http::Query& query, std::size_t values) {
  TRY(text, read_parameter(query, "after"));
  std::vector<std::string> after;
  if (!text) return after;
  const auto bad = [] { return wrong("after must be the `next` of the page before.", "after"); };
  const auto parsed = parse_json(*text);
  if (!parsed || !parsed->is_array() || parsed->get_array().size() != values || values == 0)
    return bad();
  for (const json::value& value : parsed->get_array()) {
    if (!value.is_string()) return bad();
    after.emplace_back(as_view(value.get_string()));
  }
  return after;
}

void write_counts(ObjectWriter& writer, const UsageCounts& counts) {
  writer.number("model_calls", counts.calls)
      .number("abandoned_calls", counts.abandoned)
      .number("estimated_calls", counts.estimated)
      .number("unpriced_calls", counts.unpriced)
      .number("input_tokens", counts.input)
      .number("cached_tokens", counts.cached)
      .number("cache_write_tokens", counts.cache_write)
      .number("output_tokens", counts.output)
      .number("reasoning_tokens", counts.reasoning);
  write_money(writer, "cost", counts.cost);
  write_money(writer, "estimated_cost", counts.estimated_cost);
}

std::unexpected<Error> no_such_budget() {
  return fail(ErrorCode::kNotFound, "There is no such budget.");
}

/// For the operator, who sees all projects.
std::unexpected<Error> no_such_project(std::string_view name) {
  return fail(ErrorCode::kNotFound, fmt::format("There is no such project '{}'.", name), "project");
}

}  // namespace

void BudgetsApi::add_routes(http::Router& router) {
  const auto add = [&](std::string method, std::string path, std::string summary,
                       Operation operation) {
    router.add(
        {.method = std::move(method),
         .path = std::move(path),
         .summary = std::move(summary),
         .tag = "money",
         .max_body = kMaxBody,
         .handler = std::bind_front(&BudgetsApi::serve, this, operation),
         .about = operation == &BudgetsApi::session_usage ? about_session(caller_of_) : nullptr});
  };
  add("GET", "/api/usage", "What model calls used and cost, summed up", &BudgetsApi::usage);
  add("GET", "/api/sessions/{session_id}/usage", "What a session's model calls used, by turn",
      &BudgetsApi::session_usage);
  add("GET", "/api/budgets", "List budgets and what is left of them", &BudgetsApi::list);
  add("PUT", "/api/budgets/{scope}/{id}", "Set a budget", &BudgetsApi::put);
  add("DELETE", "/api/budgets/{scope}/{id}", "Remove a budget", &BudgetsApi::remove);
}

Task<http::Response> BudgetsApi::serve(Operation operation, http::Request request) {
  const std::string request_id = request.request_id;
  auto project = co_await project_of(request);
  if (!project) co_return error_response(project.error());
  Answer answer = co_await (this->*operation)(std::move(request), std::move(*project));
  if (answer) co_return std::move(*answer);
  if (answer.error().code == ErrorCode::kInternal)
    log::error("a request failed", {{"request", request_id}, {"error", answer.error().message}});
  co_return error_response(answer.error());
}

Task<Result<ProjectId>> BudgetsApi::project_of(http::Request request) {
  const identity::Caller caller = caller_of_(request);
  CO_TRY(named, read_parameter(request.query, "project"));
  if (!named || *named == caller.project.value) co_return caller.project;
  if (caller.operator_access) {
    CO_TRY(there, co_await keys_.project_exists(*named));
    if (there) co_return ProjectId{*named};
    co_return no_such_project(*named);
  }
  co_return fail(ErrorCode::kNotFound, "There is no such project.", "project");
}

Task<Result<ProjectId>> BudgetsApi::holder_of(http::Request request, BudgetScope scope,
                                              ProjectId project) {
  const std::string& id = request.parameters.at(1);
  if (scope != BudgetScope::kProject) co_return project;
  const bool is_operator = caller_of_(request).operator_access;
  if (id != project.value) {
    CO_TRY(named, read_parameter(request.query, "project"));
    if (named || !is_operator) co_return no_such_budget();
    CO_TRY(there, co_await keys_.project_exists(id));
    if (!there) co_return no_such_project(id);
  }
  if (!is_operator)
    co_return fail(ErrorCode::kPermissionDenied,
                   "Only the operator may set or remove the budget of a project.");
  co_return ProjectId{id};
}

Task<Result<void>> BudgetsApi::may_change(identity::Caller caller, ProjectId holder,
                                          BudgetScope scope, std::string id) {
  if (scope != BudgetScope::kWorkstream) co_return Result<void>{};
  CO_TRY(access, co_await workstreams_.access(std::move(holder), std::move(id), asker_of(caller)));
  if (access == resources::Access::kNone) co_return no_such_budget();
  if (access != resources::Access::kManage)
    co_return fail(ErrorCode::kPermissionDenied,
                   "Only an owner of the workstream may set or remove its budget.");
  co_return Result<void>{};
}

Task<BudgetsApi::Answer> BudgetsApi::usage(http::Request request, ProjectId project) {
  CO_TRY_VOID(allow_parameters(request.query, {"from", "to", "group_by", "limit", "after"}));
  journal::UsageQuery query{.project = std::move(project)};
  CO_TRY(from, day(request.query, "from"));
  CO_TRY(to, day(request.query, "to"));
  if (!from.empty() && !to.empty() && journal::parse_day(from) > journal::parse_day(to))
    co_return wrong(fmt::format("from must not be after to: {} is after {}.", from, to), "from");
  CO_TRY(by, dimensions(request.query));
  CO_TRY(listed, read_page(request.query));
  CO_TRY(after, cursor(request.query, by.size()));
  query.from = std::move(from);
  query.to = std::move(to);
  query.by = by;
  query.after = std::move(after);
  query.limit = listed.limit + 1;
  CO_TRY(rows, co_await accounts_.usage(std::move(query)));
  const bool more = rows.size() > listed.limit;
  if (more) rows.pop_back();
  std::string body;
  ObjectWriter writer(body);
  append_array(writer.begin("data"), rows, [&](std::string& out, const journal::UsageRow& row) {
    ObjectWriter one(out);
    for (std::size_t i = 0; i < by.size(); ++i) {
      if (row.values[i].empty())
        one.null(to_string(by[i]));
      else
        one.text(to_string(by[i]), row.values[i]);
    }
    write_counts(one, row.counts);
    one.end();
  });
  writer.boolean("has_more", more);
  if (more) {
    std::string next;
    append_array(next, rows.back().values,
                 [](std::string& out, const std::string& value) { append_quoted(out, value); });
    writer.text("next", next);
  } else {
    writer.null("next");
  }
  writer.end();
  co_return http::json_response(200, std::move(body));
}

Task<BudgetsApi::Answer> BudgetsApi::session_usage(http::Request request, ProjectId project) {
  CO_TRY_VOID(allow_parameters(request.query, {"limit", "after"}));
  const SessionKey key{std::move(project), {request.parameters.at(0)}};
  auto access = co_await workstreams_.access_to_session(key, asker_of(caller_of_(request)));
  if (!access && access.error().code != ErrorCode::kNotFound)
    co_return std::unexpected(std::move(access).error());
  if (access && *access == resources::Access::kNone)
    co_return fail(ErrorCode::kNotFound, "There is no such session.");
  CO_TRY(listed, read_page(request.query));
  // Each turn is a few reads of the log.
  engine::Page page{std::move(listed.after), std::min(listed.limit, kMaxTurnsOfUsage),
                    /*ascending=*/true};
  auto usage = co_await accounts_.session_usage(key, std::move(page));
  if (!usage && usage.error().code == ErrorCode::kNotFound)
    co_return fail(ErrorCode::kNotFound, "There is no such session.");
  if (!usage) co_return std::unexpected(std::move(usage).error());
  std::string body;
  ObjectWriter writer(body);
  writer.text("session", key.session.value).text("model", usage->model);
  if (usage->limit)
    write_money(writer, "limit", *usage->limit);
  else
    writer.null("limit_nano").null("limit_dollars");
  write_money(writer, "spent", usage->spent);
  write_money(writer, "reserved", usage->reserved);
  append_array(writer.begin("data"), usage->turns.data,
               [](std::string& out, const engine::TurnUsage& turn) {
                 ObjectWriter one(out);
                 one.text("turn", turn.turn_id).number("created_at", turn.created / 1000);
                 write_counts(one, turn.counts);
                 one.end();
               });
  writer.boolean("has_more", usage->turns.has_more);
  writer.end();
  co_return http::json_response(200, std::move(body));
}

Task<BudgetsApi::Answer> BudgetsApi::list(http::Request request, ProjectId project) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  CO_TRY(hidden, co_await workstreams_.hidden_from(project, asker_of(caller_of_(request))));
  CO_TRY(budgets, co_await accounts_.budgets(std::move(project)));
  std::erase_if(budgets, [&](const Budget& budget) {
    return budget.scope == BudgetScope::kWorkstream && hidden.contains(budget.id);
  });
  std::string body;
  ObjectWriter writer(body);
  append_array(writer.begin("data"), budgets, append_budget);
  writer.boolean("has_more", false);
  writer.end();
  co_return http::json_response(200, std::move(body));
}

Task<BudgetsApi::Answer> BudgetsApi::put(http::Request request, ProjectId project) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  const auto scope = journal::parse_budget_scope(request.parameters.at(0));
  if (request.parameters.at(0) == "session")
    co_return wrong("A session's limit is its spend_control, given when it is created.", "scope");
  if (!scope) co_return wrong("scope must be one of project, workstream, agent.", "scope");
  CO_TRY(holder, co_await holder_of(request, *scope, std::move(project)));
  Budget budget{.project = std::move(holder), .scope = *scope, .id = request.parameters.at(1)};
  if (*scope == BudgetScope::kWorkstream && !is_workstream_id(budget.id))
    co_return wrong("A workstream's id is 1 to 64 characters of [A-Za-z0-9_-].", "id");
  if (budget.id.empty() || budget.id.size() > kMaxBudgetId)
    co_return wrong(fmt::format("id must have 1 to {} bytes.", kMaxBudgetId), "id");
  CO_TRY(body, read_body(request));
  CO_TRY_VOID(read_budget(body, &budget));
  CO_TRY_VOID(co_await may_change(caller_of_(request), budget.project, *scope, budget.id));
  CO_TRY(kept, co_await accounts_.put_budget(std::move(budget)));
  log::info("a budget was set", {{"project", kept.project.value},
                                 {"scope", to_string(kept.scope)},
                                 {"id", kept.id},
                                 {"limit_nano", kept.limit}});
  std::string answer;
  append_budget(answer, kept);
  co_return http::json_response(200, std::move(answer));
}

Task<BudgetsApi::Answer> BudgetsApi::remove(http::Request request, ProjectId project) {
  CO_TRY_VOID(allow_parameters(request.query, {}));
  const auto scope = journal::parse_budget_scope(request.parameters.at(0));
  if (!scope) co_return no_such_budget();
  CO_TRY(holder, co_await holder_of(request, *scope, std::move(project)));
  std::string id = request.parameters.at(1);
  CO_TRY_VOID(co_await may_change(caller_of_(request), holder, *scope, id));
  std::string body;
  ObjectWriter(body).text("scope", to_string(*scope)).text("id", id).boolean("deleted", true).end();
  auto removed = co_await accounts_.delete_budget(holder, *scope, std::move(id));
  if (!removed && removed.error().code == ErrorCode::kNotFound) co_return no_such_budget();
  if (!removed) co_return std::unexpected(std::move(removed).error());
  log::info("a budget was removed", {{"project", holder.value}});
  co_return http::json_response(200, std::move(body));
}

}  // namespace perdure::facades::admin
