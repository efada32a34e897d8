#include "policy/stops.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/bytes.h"
#include "base/json.h"
#include "policy/limits.h"

namespace perdure::policy {
namespace {

constexpr std::string_view kStopKind = "stop";
constexpr StopScope kScopes[] = {StopScope::kProject, StopScope::kWorkstream, StopScope::kAgent,
                                 StopScope::kSession};

ProjectId system_project() {
  return {"$system"};
}

/// No part can hold a line break.
std::string mark_key(StopScope scope, const ProjectId& project, std::string_view target) {
  return fmt::format("{}\n{}\n{}", project.value, to_string(scope), target);
}

std::string to_body(const Stop& stop) {
  json::object body{{"v", 1},
                    {"scope", to_string(stop.order.scope)},
                    {"target", stop.order.target},
                    {"reason", stop.order.reason},
                    {"by", stop.order.by},
                    {"by_operator", stop.order.by_operator}};
  if (stop.lifted) {
    body["lifted"] = *stop.lifted;
    body["lifted_by"] = stop.lifted_by;
  }
  return serialize(body);
}

Result<Stop> from_row(const journal::Row& row) {
  auto damaged = [&] {
    return fail(ErrorCode::kInternal, fmt::format("the stored stop '{}' is damaged", row.id));
  };
  auto body = parse_json(row.body);
  if (!body || !body->is_object()) return damaged();
  const json::object& object = body->get_object();
  auto scope = parse_stop_scope(get_string(object, "scope"));
  if (get_int(object, "v") != 1 || !scope) return damaged();
  Stop stop{.id = row.id,
            .order = {.project = {row.parent},
                      .scope = *scope,
                      .target = std::string(get_string(object, "target")),
                      .reason = std::string(get_string(object, "reason")),
                      .by = std::string(get_string(object, "by")),
                      .by_operator = get_bool(object, "by_operator")},
            .created = row.created};
  if (find(object, "lifted")) stop.lifted = get_int(object, "lifted");
  stop.lifted_by = get_string(object, "lifted_by");
  return stop;
}

journal::RowQuery all_rows(std::size_t limit) {
  return {.project = system_project(),
          .kind = std::string(kStopKind),
          .limit = limit,
          .ascending = true};
}

bool is_one_line(std::string_view text) {
  return std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

Result<void> check(const StopOrder& order) {
  auto wrong = [](std::string message, std::string member) {
    return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(member));
  };
  if (order.reason.empty() || order.reason.size() > kMaxStopReason ||
      !is_valid_utf8(order.reason) || !is_one_line(order.reason))
    return wrong(fmt::format("reason must be one line of text with 1 to {} bytes.", kMaxStopReason),
                 "reason");
  bool plain = order.target.find_first_not_of(
                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "0123456789_-") == std::string::npos;
  if (order.target.empty() || order.target.size() > kMaxStopTarget || !plain)
    return wrong(fmt::format("id must have 1 to {} characters of [A-Za-z0-9_-].", kMaxStopTarget),
                 "id");
  if (order.scope == StopScope::kWorkstream && !is_workstream_id(order.target))
    return wrong("A workstream's id has at most 64 characters.", "id");
  return {};
}

}  // namespace

std::string_view to_string(StopScope scope) {
  switch (scope) {
    case StopScope::kSession:
      return "session";
    case StopScope::kAgent:
      return "agent";
    case StopScope::kWorkstream:
      return "workstream";
    case StopScope::kProject:
      return "project";
  }
  return "project";
}

std::optional<StopScope> parse_stop_scope(std::string_view word) {
  for (StopScope scope : kScopes)
    if (word == to_string(scope)) return scope;
  return std::nullopt;
}

std::string Stop::sentence() const {
  bool ended =
      order.reason.ends_with('.') || order.reason.ends_with('!') || order.reason.ends_with('?');
  return fmt::format("Stopped by an operator: {}{}", order.reason, ended ? "" : ".");
}

Error Stop::refusal() const {
  return {ErrorCode::kPermissionDenied,
          fmt::format("The {} '{}' is stopped. {} {} can lift it ({}).", to_string(order.scope),
                      order.target, sentence(),
                      order.by_operator ? "Only the operator of this server"
                                        : "A key of the project, or the operator of this server,",
                      id),
          {},
          "stopped"};
}

Task<Result<void>> Stops::load() {
  CO_TRY(stops, co_await read_in_force());
  for (Stop& stop : stops) mark(std::move(stop));
  co_return Result<void>{};
}

Task<Result<std::vector<Stop>>> Stops::read_in_force() {
  std::vector<Stop> stops;
  journal::RowQuery query = all_rows(kMaxListedStops);
  while (true) {
    CO_TRY(rows, co_await store_.list_rows(query));
    for (const journal::Row& row : rows) {
      CO_TRY(stop, from_row(row));
      if (!stop.lifted) stops.push_back(std::move(stop));
    }
    if (rows.size() < query.limit) co_return stops;
    query.after = rows.back().id;
  }
}

Task<Result<std::vector<Stop>>> Stops::reload() {
  auto turn = co_await writing_.acquire();
  CO_TRY(stops, co_await read_in_force());
  const std::vector<Stop> known = in_force();
  auto among = [](const Stop& wanted, const std::vector<Stop>& all) {
    return std::ranges::any_of(all, [&](const Stop& stop) { return stop.id == wanted.id; });
  };
  for (const Stop& stop : known)
    if (!among(stop, stops)) unmark(stop);
  std::vector<Stop> added;
  for (Stop& stop : stops)
    if (!among(stop, known)) {
      mark(stop);
      added.push_back(std::move(stop));
    }
  co_return added;
}

Task<Result<Stop>> Stops::add(StopOrder order) {
  CO_TRY_VOID(check(order));
  auto turn = co_await writing_.acquire();
  if (auto found = marks_.find(mark_key(order.scope, order.project, order.target));
      found != marks_.end())
    for (const Stop& there : found->second)
      if (there.order.by_operator == order.by_operator) co_return there;
  std::size_t of_project = 0;
  for (const auto& [key, stops] : marks_)
    if (stops.front().order.project == order.project) of_project += stops.size();
  if (of_project >= kMaxStopsInForce)
    co_return fail(ErrorCode::kRateLimited,
                   "Too many stops are in force in this project; lift some, or stop the project.");

  Stop stop{.id = new_id("stop", env_), .order = std::move(order), .created = env_.now()};
  journal::Row row{.project = system_project(),
                   .kind = std::string(kStopKind),
                   .id = stop.id,
                   .parent = stop.order.project.value,
                   .created = stop.created,
                   .body = to_body(stop)};
  mark(stop);  // before it is durable: see the top
  auto written = co_await store_.put_row(std::move(row), 0);
  if (!written) {
    unmark(stop);
    co_return std::unexpected(std::move(written).error());
  }
  co_return stop;
}

Task<Result<Stop>> Stops::lift(std::optional<ProjectId> project, std::string id, std::string by,
                               bool by_operator) {
  auto turn = co_await writing_.acquire();
  auto row = co_await store_.get_row(system_project(), std::string(kStopKind), id);
  bool unknown = !row && row.error().code == ErrorCode::kNotFound;
  if (unknown || (row && project && row->parent != project->value))
    co_return fail(ErrorCode::kNotFound, fmt::format("There is no stop '{}'.", id.substr(0, 64)));
  if (!row) co_return std::unexpected(std::move(row).error());
  CO_TRY(stop, from_row(*row));
  if (stop.lifted) co_return stop;
  if (stop.order.by_operator && !by_operator)
    co_return fail(
        ErrorCode::kPermissionDenied,
        "The operator of this server made this stop, and only the operator can lift it.");
  stop.lifted = env_.now();
  stop.lifted_by = std::move(by);
  const std::uint64_t version = row->version;
  row->body = to_body(stop);
  CO_TRY(written, co_await store_.put_row(std::move(*row), version));
  (void)written;
  unmark(stop);
  co_return stop;
}

Task<Result<Stops::Page>> Stops::list(std::optional<ProjectId> project, bool with_lifted,
                                      std::optional<std::string> after, std::size_t limit) {
  if (limit < 1 || limit > kMaxListedStops)
    co_return fail(ErrorCode::kInvalidArgument,
                   fmt::format("limit must be between 1 and {}.", kMaxListedStops), "limit");
  journal::RowQuery query = all_rows(kMaxListedStops);
  if (project) query.parent = project->value;
  query.after = std::move(after);
  Page page;
  while (true) {
    CO_TRY(rows, co_await store_.list_rows(query));
    for (const journal::Row& row : rows) {
      CO_TRY(stop, from_row(row));
      if (stop.lifted && !with_lifted) continue;
      if (page.data.size() == limit) {
        page.has_more = true;
        co_return page;
      }
      page.data.push_back(std::move(stop));
    }
    if (rows.size() < query.limit) co_return page;
    query.after = rows.back().id;
  }
}

const Stop* Stops::find(StopScope scope, const ProjectId& project, std::string_view target) const {
  auto found = marks_.find(mark_key(scope, project, target));
  return found == marks_.end() ? nullptr : &found->second.front();
}

const Stop* Stops::find(const StopSubject& subject) const {
  if (marks_.empty()) return nullptr;  // nearly always
  const ProjectId& project = subject.session.project;
  const Stop* stop = find(StopScope::kProject, project, project.value);
  if (!stop && subject.workstream)
    stop = find(StopScope::kWorkstream, project, *subject.workstream);
  if (!stop) stop = find(StopScope::kAgent, project, subject.agent);
  if (!stop) stop = find(StopScope::kSession, project, subject.session.session.value);
  return stop;
}

std::vector<Stop> Stops::in_force() const {
  std::vector<Stop> all;
  for (const auto& [key, stops] : marks_) all.insert(all.end(), stops.begin(), stops.end());
  std::ranges::sort(all, {}, [](const Stop& stop) { return std::tie(stop.created, stop.id); });
  return all;
}

void Stops::mark(Stop stop) {
  const StopOrder& order = stop.order;
  auto& stops = marks_[mark_key(order.scope, order.project, order.target)];
  // The operator's first: it is the one that a refusal names.
  stops.insert(order.by_operator ? stops.begin() : stops.end(), std::move(stop));
  ++count_;
}

void Stops::unmark(const Stop& stop) {
  const StopOrder& order = stop.order;
  auto found = marks_.find(mark_key(order.scope, order.project, order.target));
  if (found == marks_.end()) return;
  count_ -= std::erase_if(found->second, [&](const Stop& there) { return there.id == stop.id; });
  if (found->second.empty()) marks_.erase(found);
}

Decision StoppedPolicy::decide(const Action& action) {
  if (const Stop* stop = stops_.find({action.session, action.agent, action.workstream}))
    return {Verdict::kDeny, fmt::format("stop:{}", to_string(stop->order.scope)), stop->sentence()};
  return inner_.decide(action);
}

}  // namespace perdure::policy
