#include "journal/sqlite/spend_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/json.h"
#include "journal/append_check.h"
#include "journal/limits.h"

namespace perdure::journal::sqlite {
namespace {

// Column lists and what reads them stand together.

constexpr std::string_view kBudgetColumns =
    "project, scope, id, money, period, created, window_began, spent, reserved";

Budget budget_of(const Rows& rows) {
  return {.project = {rows.text(0)},
          .scope = parse_budget_scope(rows.text(1)).value_or(BudgetScope::kProject),
          .id = rows.text(2),
          .limit = rows.integer(3),
          .window = parse_budget_window(rows.text(4)).value_or(BudgetWindow::kTotal),
          .created = rows.integer(5),
          .window_began = rows.integer(6),
          .spent = rows.integer(7),
          .reserved = rows.integer(8)};
}

constexpr std::string_view kSums =
    "sum(calls), sum(abandoned), sum(estimated), sum(unpriced), sum(input), sum(cached), "
    "sum(cache_write), sum(output), sum(reasoning), sum(cost), sum(estimated_cost)";

UsageCounts counts_of(const Rows& rows, int first) {
  UsageCounts counts;
  for (std::int64_t* sum : {&counts.calls, &counts.abandoned, &counts.estimated, &counts.unpriced,
                            &counts.input, &counts.cached, &counts.cache_write, &counts.output,
                            &counts.reasoning, &counts.cost, &counts.estimated_cost})
    *sum = rows.integer(first++);
  return counts;
}

// Money ends at the largest number, as add_money does: what overflows becomes a REAL above it.
constexpr std::string_view kOnConflict =
    "ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, "
    "abandoned = abandoned + excluded.abandoned, estimated = estimated + excluded.estimated, "
    "unpriced = unpriced + excluded.unpriced, input = input + excluded.input, "
    "cached = cached + excluded.cached, cache_write = cache_write + excluded.cache_write, "
    "output = output + excluded.output, reasoning = reasoning + excluded.reasoning, "
    "cost = min(cost + excluded.cost, 9223372036854775807), "
    "estimated_cost = min(estimated_cost + excluded.estimated_cost, 9223372036854775807)";

std::optional<Budget> find_budget(Connection& connection, const ProjectId& project,
                                  BudgetScope scope, const std::string& id) {
  static const std::string kSql = fmt::format(
      "SELECT {} FROM budget WHERE project = ? AND scope = ? AND id = ?", kBudgetColumns);
  Rows rows = connection.query(kSql, project.value, std::string(to_string(scope)), id);
  if (!rows.next()) return std::nullopt;
  return budget_of(rows);
}

void write_budget(Connection& connection, const Budget& budget) {
  connection.run(
      "INSERT OR REPLACE INTO budget "
      "(project, scope, id, money, period, created, window_began, spent, reserved) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      budget.project.value, std::string(to_string(budget.scope)), budget.id, budget.limit,
      std::string(to_string(budget.window)), budget.created, budget.window_began, budget.spent,
      budget.reserved);
}

void settle(Connection& connection, const SessionKey& key, const Settlement& settlement,
            UnixMillis time) {
  connection.run("DELETE FROM reservation WHERE project = ? AND session = ? AND call = ?",
                 key.project.value, key.session.value, settlement.call);
  if (settlement.used == UsageCounts{}) return;  // it never became a call
  static const std::string kSql = fmt::format(
      "INSERT INTO usage (project, day, workstream, agent, session, model, provider, calls, "
      "abandoned, estimated, unpriced, input, cached, cache_write, output, reasoning, cost, "
      "estimated_cost) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) {}",
      kOnConflict);
  const UsageCounts& used = settlement.used;
  const Payer& payer = settlement.payer;
  connection.run(kSql, key.project.value, day_of(time), payer.workstream, payer.agent,
                 key.session.value, payer.model, payer.provider, used.calls, used.abandoned,
                 used.estimated, used.unpriced, used.input, used.cached, used.cache_write,
                 used.output, used.reasoning, used.cost, used.estimated_cost);
}

/// The budgets that cover one of the payers.
std::vector<Budget> covering(Connection& connection, const ProjectId& project,
                             const std::vector<const Payer*>& payers) {
  std::set<std::pair<BudgetScope, std::string>> wanted;
  for (const Payer* payer : payers) {
    wanted.emplace(BudgetScope::kProject, project.value);
    wanted.emplace(BudgetScope::kAgent, payer->agent);
    if (!payer->workstream.empty()) wanted.emplace(BudgetScope::kWorkstream, payer->workstream);
  }
  std::vector<Budget> found;
  for (const auto& [scope, id] : wanted)
    if (auto budget = find_budget(connection, project, scope, id))
      found.push_back(std::move(*budget));
  return found;
}

}  // namespace

Result<std::vector<Budget>> charged_budgets(Connection& connection, const Append& append,
                                            UnixMillis time) {
  std::vector<const Payer*> payers;
  payers.reserve(append.settle.size() + append.reserve.size());
  for (const Settlement& settlement : append.settle) payers.push_back(&settlement.payer);
  for (const Reservation& reservation : append.reserve) payers.push_back(&reservation.payer);
  if (payers.empty()) return std::vector<Budget>();
  std::vector<Budget> budgets = covering(connection, append.key.project, payers);
  for (Budget& budget : budgets) TRY_VOID(charge(budget, append, time));
  return budgets;
}

void write_spend(Connection& connection, const Append& append, const std::vector<Budget>& budgets,
                 UnixMillis time) {
  const auto& [project, session] = append.key;
  for (const Settlement& settlement : append.settle)
    settle(connection, append.key, settlement, time);
  for (const Reservation& reservation : append.reserve)
    connection.run(
        "INSERT OR REPLACE INTO reservation "
        "(project, session, call, amount, workstream, agent, model, provider) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        project.value, session.value, reservation.call, reservation.amount,
        reservation.payer.workstream, reservation.payer.agent, reservation.payer.model,
        reservation.payer.provider);
  for (const Budget& budget : budgets) write_budget(connection, budget);
}

void forget_session_spend(Connection& connection, const SessionKey& key, UnixMillis now) {
  for (const Reservation& reservation : reservations(connection, key)) {
    const Settlement settlement = settle_in_full(reservation);
    for (Budget& budget : covering(connection, key.project, {&settlement.payer})) {
      budget.roll(now);
      budget.settle(settlement);
      write_budget(connection, budget);
    }
    settle(connection, key, settlement, now);
  }
  static const std::string kSql = fmt::format(
      "INSERT INTO usage SELECT project, day, workstream, agent, '', model, provider, calls, "
      "abandoned, estimated, unpriced, input, cached, cache_write, output, reasoning, cost, "
      "estimated_cost FROM usage WHERE project = ? AND session = ? {}",
      kOnConflict);
  connection.run(kSql, key.project.value, key.session.value);
  connection.run("DELETE FROM usage WHERE project = ? AND session = ?", key.project.value,
                 key.session.value);
}

Result<Budget> put_budget(Connection& connection, Budget budget, UnixMillis now) {
  auto kept = find_budget(connection, budget.project, budget.scope, budget.id);
  if (!kept) {
    Rows count =
        connection.query("SELECT count(*) FROM budget WHERE project = ?", budget.project.value);
    if (count.next() && count.natural(0) >= kMaxBudgets) return too_many_budgets();
  }
  budget.created = now;
  if (kept && budget.go_on_from(*kept, now)) {
    write_budget(connection, budget);
    return budget;
  }
  budget.window_began = window_start(budget.window, now);
  const std::string from = budget.window_began == 0 ? std::string() : day_of(budget.window_began);
  const std::string_view column = to_string(budget.scope);  // the scope's word is its column
  {
    Rows spent = connection.query(
        fmt::format("SELECT coalesce(sum(cost), 0) FROM usage WHERE project = ? AND day >= ? "
                    "AND {} = ?",
                    column),
        budget.project.value, from, budget.id);
    spent.next();
    budget.spent = spent.integer(0);
  }
  {
    Rows reserved = connection.query(
        fmt::format("SELECT coalesce(sum(amount), 0) FROM reservation WHERE project = ? AND {} = ?",
                    column),
        budget.project.value, budget.id);
    reserved.next();
    budget.reserved = reserved.integer(0);
  }
  write_budget(connection, budget);
  return budget;
}

std::vector<Budget> budgets(Connection& connection, const ProjectId& project) {
  static const std::string kSql =
      fmt::format("SELECT {} FROM budget WHERE project = ? ORDER BY scope, id", kBudgetColumns);
  Rows rows = connection.query(kSql, project.value);
  std::vector<Budget> found;
  while (rows.next()) found.push_back(budget_of(rows));
  return found;
}

std::vector<UsageRow> usage(Connection& connection, const UsageQuery& query) {
  std::vector<std::string_view> columns;  // a dimension's word is its column's name
  columns.reserve(query.by.size());
  for (UsageBy dimension : query.by) columns.push_back(to_string(dimension));
  const std::string names = fmt::format("{}", fmt::join(columns, ", "));
  // The cursor is one JSON value, because a statement has a fixed number of places for values.
  std::string sql = fmt::format(
      "SELECT {}{}{} FROM usage WHERE project = ?1 AND "
      "(?2 = '' OR day >= ?2) AND (?3 = '' OR day <= ?3)",
      names, names.empty() ? "" : ", ", kSums);
  std::string cursor = "[]";
  if (!query.after.empty() && !columns.empty()) {
    cursor = "[";
    std::vector<std::string> parts;
    parts.reserve(columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i)
      parts.push_back(fmt::format("?4 ->> '$[{}]'", i));
    sql += fmt::format(" AND ({}) > ({})", names, fmt::join(parts, ", "));
    for (std::size_t i = 0; i < query.after.size(); ++i) {
      if (i > 0) cursor += ',';
      append_quoted(cursor, query.after[i]);
    }
    cursor += ']';
  } else {
    sql += " AND ?4 = '[]'";
  }
  if (!columns.empty()) sql += fmt::format(" GROUP BY {0} ORDER BY {0}", names);
  sql += " LIMIT ?5";
  Rows rows =
      connection.query_once(sql, query.project.value, query.from, query.to, cursor, query.limit);
  std::vector<UsageRow> found;
  while (rows.next()) {
    UsageRow row;
    for (std::size_t i = 0; i < columns.size(); ++i)
      row.values.push_back(rows.text(static_cast<int>(i)));
    row.counts = counts_of(rows, static_cast<int>(columns.size()));
    if (columns.empty() && row.counts.calls == 0) break;  // the sum of nothing
    found.push_back(std::move(row));
  }
  return found;
}

std::vector<Reservation> reservations(Connection& connection, const SessionKey& key) {
  Rows rows = connection.query(
      "SELECT call, amount, workstream, agent, model, provider FROM reservation "
      "WHERE project = ? AND session = ? ORDER BY call",
      key.project.value, key.session.value);
  std::vector<Reservation> found;
  while (rows.next())
    found.push_back({.call = rows.natural(0),
                     .amount = rows.integer(1),
                     .payer = {.workstream = rows.text(2),
                               .agent = rows.text(3),
                               .model = rows.text(4),
                               .provider = rows.text(5)}});
  return found;
}

}  // namespace perdure::journal::sqlite
