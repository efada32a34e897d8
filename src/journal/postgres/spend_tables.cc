#include "journal/postgres/spend_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "journal/append_check.h"
#include "journal/limits.h"

namespace perdure::journal::postgres {
namespace {

// Sums of money are made as numeric and end at the largest bigint, as add_money does.
constexpr std::string_view kMost = "9223372036854775807";

/// `sum`, an expression of type numeric, as money.
std::string money(std::string_view sum) {
  return fmt::format("least({}, {})::bigint", sum, kMost);
}

/// When the window of a budget b that `time` lies in began.
std::string window_of(Statement* q, UnixMillis time) {
  return fmt::format(
      "CASE b.period WHEN '{}' THEN {} WHEN '{}' THEN {} ELSE 0 END", to_string(BudgetWindow::kDay),
      q->number(window_start(BudgetWindow::kDay, time)), to_string(BudgetWindow::kMonth),
      q->number(window_start(BudgetWindow::kMonth, time)));
}

// ---- columns, and what reads them -------------------------------------------------------------

constexpr std::string_view kBudgetColumns =
    "project, scope, id, money, period, created, window_began, spent, reserved";

Budget budget_of(const Rows& rows, int row) {
  return {.project = {rows.text(row, 0)},
          .scope = parse_budget_scope(rows.text(row, 1)).value_or(BudgetScope::kProject),
          .id = rows.text(row, 2),
          .limit = rows.integer(row, 3),
          .window = parse_budget_window(rows.text(row, 4)).value_or(BudgetWindow::kTotal),
          .created = rows.integer(row, 5),
          .window_began = rows.integer(row, 6),
          .spent = rows.integer(row, 7),
          .reserved = rows.integer(row, 8)};
}

constexpr std::string_view kReservationColumns = "call, amount, workstream, agent, model, provider";

Reservation reservation_of(const Rows& rows, int row) {
  return {.call = rows.natural(row, 0),
          .amount = rows.integer(row, 1),
          .payer = {.workstream = rows.text(row, 2),
                    .agent = rows.text(row, 3),
                    .model = rows.text(row, 4),
                    .provider = rows.text(row, 5)}};
}

struct Count {
  std::string_view column;
  std::int64_t UsageCounts::* member;
};
constexpr std::array kCounts = {
    Count{"calls", &UsageCounts::calls},
    Count{"abandoned", &UsageCounts::abandoned},
    Count{"estimated", &UsageCounts::estimated},
    Count{"unpriced", &UsageCounts::unpriced},
    Count{"input", &UsageCounts::input},
    Count{"cached", &UsageCounts::cached},
    Count{"cache_write", &UsageCounts::cache_write},
    Count{"output", &UsageCounts::output},
    Count{"reasoning", &UsageCounts::reasoning},
    Count{"cost", &UsageCounts::cost},
    Count{"estimated_cost", &UsageCounts::estimated_cost},
};

/// "calls, abandoned, …", each put into `shape` as {0}.
std::string counts_as(fmt::format_string<const std::string_view&> shape) {
  std::string list;
  for (const Count& count : kCounts) {
    if (!list.empty()) list += ", ";
    list += fmt::format(shape, count.column);
  }
  return list;
}

/// "least(coalesce(sum(calls), 0), …)::bigint, …": the sums of a group, or of nothing.
const std::string& sums() {
  static const std::string kSums =
      counts_as("least(coalesce(sum({0}), 0), 9223372036854775807)::bigint AS {0}");
  return kSums;
}

/// The end of an insertion into usage: what is there grows.
const std::string& added() {
  static const std::string kAdded = fmt::format(
      "ON CONFLICT (project, day, workstream, agent, session, model, provider) DO UPDATE SET {}",
      counts_as("{0} = least(usage.{0}::numeric + excluded.{0}, 9223372036854775807)::bigint"));
  return kAdded;
}

UsageCounts counts_of(const Rows& rows, int row, int column) {
  UsageCounts counts;
  for (const Count& count : kCounts) counts.*count.member = rows.integer(row, column++);
  return counts;
}

const std::string& columns_of_counts() {
  static const std::string kColumns = counts_as("{0}");
  return kColumns;
}

/// Payers as the arrays of an unnest, in the order workstream, agent, model, provider.
class PayerArrays {
 public:
  void add(const Payer& payer) {
    columns_[0].push_back(payer.workstream);
    columns_[1].push_back(payer.agent);
    columns_[2].push_back(payer.model);
    columns_[3].push_back(payer.provider);
  }
  std::string text(Statement* q) const {
    std::string arrays;
    for (const std::vector<std::string>& column : columns_)
      arrays += (arrays.empty() ? "" : ", ") + q->texts(column);
    return arrays;
  }

 private:
  std::array<std::vector<std::string>, 4> columns_;
};

}  // namespace

// ---- what an append moves -------------------------------------------------------------------

template <class Change>
void Charges::add_to_shares(const Payer& payer, const Change& change) {
  auto add = [&](BudgetScope scope, const std::string& id) {
    auto found = std::ranges::find_if(
        shares_, [&](const Share& share) { return share.scope == scope && share.id == id; });
    if (found == shares_.end()) found = shares_.insert(found, Share{.scope = scope, .id = id});
    change(*found);
  };
  add(BudgetScope::kAgent, payer.agent);
  add(BudgetScope::kProject, append_.key.project.value);
  if (!payer.workstream.empty()) add(BudgetScope::kWorkstream, payer.workstream);
}

Charges::Charges(const Append& append) : append_(append) {
  for (const Settlement& settlement : append.settle)
    add_to_shares(settlement.payer, [&](Share& share) {
      share.settled = add_money(share.settled, settlement.reserved);
      share.cost = add_money(share.cost, settlement.used.cost);
    });
  for (const Reservation& reservation : append.reserve)
    add_to_shares(reservation.payer, [&](Share& share) {
      share.reserved = add_money(share.reserved, reservation.amount);
      share.asks = true;
    });
  // Whoever locks several budgets locks them in this order.
  std::ranges::sort(shares_, {},
                    [](const Share& share) { return std::tie(share.scope, share.id); });
}

StatementPart Charges::charged(Statement* q, UnixMillis time) const {
  std::vector<std::string> scopes, ids;
  std::vector<std::int64_t> settled, cost, reserved, asks;
  for (const Share& share : shares_) {
    scopes.emplace_back(to_string(share.scope));
    ids.push_back(share.id);
    settled.push_back(share.settled);
    cost.push_back(share.cost);
    reserved.push_back(share.reserved);
    asks.push_back(share.asks);
  }
  std::string shares = q->texts(scopes);
  for (const std::string& array : {q->texts(ids), q->numbers(settled), q->numbers(cost),
                                   q->numbers(reserved), q->numbers(asks)})
    shares += ", " + array;
  const std::string began = window_of(q, time);
  // A clock that was set back begins no window anew.
  return {
      "charged",
      fmt::format(
          "SELECT s.place, s.scope, s.id, s.asks, b.money, "
          "greatest(b.window_began, {0}) AS window_began, {1} AS spent, {2} AS reserved "
          "FROM unnest({3}) WITH ORDINALITY "
          "AS s (scope, id, settled, cost, reserved, asks, place) "
          "JOIN budget b ON b.project = {4} AND b.scope = s.scope AND b.id = s.id "
          "ORDER BY s.place FOR UPDATE OF b",
          began,
          money(fmt::format(
              "CASE WHEN {} > b.window_began THEN 0 ELSE b.spent END::numeric + s.cost", began)),
          money("greatest(b.reserved - s.settled, 0)::numeric + s.reserved"), shares,
          q->text(append_.key.project.value))};
}

std::string_view Charges::overdrawn() {
  return "(SELECT min(place) FROM charged "
         "WHERE asks > 0 AND spent::numeric + reserved > money)";
}

std::vector<StatementPart> Charges::changes(Statement* q, UnixMillis time) const {
  std::vector<StatementPart> parts;
  const std::string project = q->text(append_.key.project.value);
  const std::string session = q->text(append_.key.session.value);
  parts.push_back({"budgeted", fmt::format("UPDATE budget b SET window_began = c.window_began, "
                                           "spent = c.spent, reserved = c.reserved "
                                           "FROM guard, charged c WHERE b.project = {} "
                                           "AND b.scope = c.scope AND b.id = c.id",
                                           project)});

  // No row may be touched by two parts of a statement, nor twice by one.
  std::map<std::uint64_t, const Reservation*> reserved;
  for (const Reservation& reservation : append_.reserve) reserved[reservation.call] = &reservation;
  std::map<Payer, UsageCounts> used;
  std::vector<std::int64_t> settled;
  for (const Settlement& settlement : append_.settle) {
    if (!reserved.contains(settlement.call))
      settled.push_back(static_cast<std::int64_t>(settlement.call));
    if (settlement.used != UsageCounts{}) used[settlement.payer] += settlement.used;
  }
  if (!settled.empty())
    parts.push_back(
        {"settled", fmt::format("DELETE FROM reservation USING guard WHERE project = {} "
                                "AND session = {} AND call = ANY ({})",
                                project, session, q->numbers(settled))});
  if (!used.empty()) {
    PayerArrays payers;
    std::array<std::vector<std::int64_t>, kCounts.size()> counts;
    for (const auto& [payer, sum] : used) {
      payers.add(payer);
      for (std::size_t i = 0; i < kCounts.size(); ++i) counts[i].push_back(sum.*kCounts[i].member);
    }
    std::string arrays = payers.text(q);
    for (const auto& numbers : counts) arrays += ", " + q->numbers(numbers);
    parts.push_back(
        {"used", fmt::format("INSERT INTO usage (project, day, session, workstream, agent, model, "
                             "provider, {}) SELECT {}, {}, {}, u.* FROM guard, unnest({}) AS u {}",
                             columns_of_counts(), project, q->text(day_of(time)), session, arrays,
                             added())});
  }
  if (!reserved.empty()) {
    std::vector<std::int64_t> calls, amounts;
    PayerArrays payers;
    for (const auto& [call, reservation] : reserved) {
      calls.push_back(static_cast<std::int64_t>(call));
      amounts.push_back(reservation->amount);
      payers.add(reservation->payer);
    }
    const std::string arrays =
        fmt::format("{}, {}, {}", q->numbers(calls), q->numbers(amounts), payers.text(q));
    parts.push_back(
        {"reserved",
         fmt::format("INSERT INTO reservation (project, session, {}) "
                     "SELECT {}, {}, r.* FROM guard, unnest({}) AS r "
                     "ON CONFLICT (project, session, call) DO UPDATE SET amount = excluded.amount, "
                     "workstream = excluded.workstream, agent = excluded.agent, "
                     "model = excluded.model, provider = excluded.provider",
                     kReservationColumns, project, session, arrays)});
  }
  return parts;
}

std::unexpected<Error> Charges::refusal(std::size_t place) const {
  const Share& share = shares_.at(place - 1);
  return over_budget(share.scope, share.id);
}

std::vector<StatementPart> forget_session_spend(Statement* q, const SessionKey& key,
                                                UnixMillis now) {
  const std::string project = q->text(key.project.value), session = q->text(key.session.value);
  const std::string began = window_of(q, now);
  std::vector<StatementPart> parts;
  parts.push_back({"owed", fmt::format("DELETE FROM reservation USING guard WHERE project = {} "
                                       "AND session = {} RETURNING {}",
                                       project, session, kReservationColumns)});
  parts.push_back(
      {"budgeted",
       fmt::format(
           "UPDATE budget b SET window_began = greatest(b.window_began, {0}), spent = {1}, "
           "reserved = greatest(b.reserved - d.amount, 0) "
           "FROM (SELECT x.scope, x.id, {2} AS amount FROM owed, LATERAL (VALUES "
           "('agent', owed.agent), ('project', {3}), ('workstream', nullif(owed.workstream, ''))) "
           "AS x (scope, id) GROUP BY x.scope, x.id) AS d "
           "WHERE b.project = {3} AND b.scope = d.scope AND b.id = d.id",
           began,
           money(fmt::format(
               "CASE WHEN {} > b.window_began THEN 0 ELSE b.spent END::numeric + d.amount", began)),
           money("sum(owed.amount)"), project)});
  parts.push_back({"named_usage", fmt::format("DELETE FROM usage USING guard WHERE project = {} "
                                              "AND session = {} RETURNING usage.*",
                                              project, session)});
  // A call that had not ended is abandoned, at what was put aside for it.
  parts.push_back(
      {"nameless",
       fmt::format(
           "INSERT INTO usage (project, day, workstream, agent, session, model, provider, {0}) "
           "SELECT {1}, day, workstream, agent, '', model, provider, {2} FROM "
           "(SELECT day, workstream, agent, model, provider, {0} FROM named_usage UNION ALL "
           "SELECT {3}, workstream, agent, model, provider, 1, 1, 1, 0, 0, 0, 0, 0, 0, amount, "
           "amount FROM owed) AS u GROUP BY day, workstream, agent, model, provider {4}",
           columns_of_counts(), project, sums(), q->text(day_of(now)), added())});
  return parts;
}

// ---- budgets --------------------------------------------------------------------------------

// One server writes to a store at a time, one statement after the other: no append comes between
// the sums that are counted here and the budget that begins with them.
Statement PutBudget::statement(UnixMillis now) const {
  Statement q;
  const std::string project = q.text(budget_.project.value);
  const std::string scope = q.text(to_string(budget_.scope)), id = q.text(budget_.id);
  const std::string limit = q.number(budget_.limit), period = q.text(to_string(budget_.window));
  const UnixMillis start = window_start(budget_.window, now);
  const std::string began = q.number(start), time = q.number(now);
  const std::string from = q.text(start == 0 ? std::string() : day_of(start));
  const std::string most = q.number(std::uint64_t{kMaxBudgets});
  const std::string_view column = to_string(budget_.scope);  // the scope's word is its column
  q.sql = with_outcome(
      fmt::format(
          "WITH kept AS (SELECT * FROM budget WHERE project = {0} AND scope = {1} AND id = {2}), "
          "same AS (SELECT greatest(window_began, {8}) AS window_began, reserved, "
          "CASE WHEN {8} > window_began THEN 0 ELSE spent END AS spent FROM kept "
          "WHERE period = {6}), "
          "guard AS (SELECT 1 WHERE EXISTS (SELECT FROM kept) OR (SELECT count(*) FROM budget "
          "WHERE project = {0}) < "
          "{3}), "
          "put AS (INSERT INTO budget ({4}) SELECT {0}, {1}, {2}, {5}, {6}, {7}, "
          "coalesce((SELECT window_began FROM same), {8}), coalesce((SELECT spent FROM same), "
          "(SELECT {9} FROM usage WHERE project = {0} AND day >= {10} AND {11} = {2})), "
          "coalesce((SELECT reserved FROM same), "
          "(SELECT {12} FROM reservation WHERE project = {0} AND {11} = {2})) FROM guard "
          // What is there counts as it is now: another node may just have added to it.
          "ON CONFLICT (project, scope, id) DO UPDATE SET money = excluded.money, "
          "period = excluded.period, window_began = CASE WHEN budget.period = excluded.period "
          "THEN greatest(budget.window_began, {8}) ELSE excluded.window_began END, "
          "spent = CASE WHEN budget.period <> excluded.period THEN excluded.spent "
          "WHEN {8} > budget.window_began THEN 0 ELSE budget.spent END, "
          "reserved = budget.reserved "
          "RETURNING created, window_began, spent, reserved)",
          project, scope, id, most, kBudgetColumns, limit, period, time, began,
          money("coalesce(sum(cost), 0)"), from, column, money("coalesce(sum(amount), 0)")) +
          tell_others("put"),
      "coalesce((SELECT concat_ws(' ', 'put', created, window_began, spent, reserved) FROM put), "
      "'full')");
  return q;
}

Result<Budget> PutBudget::answer(std::string_view outcome, UnixMillis, StoreStats& counted) const {
  if (outcome == "full") return too_many_budgets();
  Budget budget = budget_;
  for (std::int64_t* value :
       {&budget.created, &budget.window_began, &budget.spent, &budget.reserved}) {
    outcome.remove_prefix(std::min(outcome.find(' ') + 1, outcome.size()));
    *value = static_cast<Money>(number_in(outcome));
  }
  counted.commits = 1;
  return budget;
}

Statement DeleteBudget::statement(UnixMillis) const {
  Statement q;
  const std::string project = q.text(project_.value), scope = q.text(to_string(scope_));
  q.sql = with_outcome(fmt::format("WITH gone AS (DELETE FROM budget WHERE project = {} "
                                   "AND scope = {} AND id = {} RETURNING 1)",
                                   project, scope, q.text(id_)) +
                           tell_others("gone"),
                       "CASE WHEN EXISTS (SELECT FROM gone) THEN 'done' ELSE 'missing' END");
  return q;
}

Result<Written> DeleteBudget::answer(std::string_view outcome, UnixMillis now,
                                     StoreStats& counted) const {
  if (outcome == "missing") return no_such_budget(scope_, id_);
  counted.commits = 1;
  return Written{.epoch = epoch_, .time = now};
}

// ---- queries --------------------------------------------------------------------------------

Query<std::vector<Budget>> budgets(ProjectId project) {
  Query<std::vector<Budget>> query;
  Statement& q = query.statements.emplace_back();
  q.sql = fmt::format("SELECT {} FROM budget WHERE project = {} ORDER BY scope, id", kBudgetColumns,
                      q.text(project.value));
  query.answer = [](const Answers& answers) -> Result<std::vector<Budget>> {
    return all(answers[0], budget_of);
  };
  return query;
}

Query<std::vector<UsageRow>> usage(UsageQuery wanted) {
  Query<std::vector<UsageRow>> query;
  Statement& q = query.statements.emplace_back();
  std::vector<std::string_view> columns;  // a dimension's word is its column's name
  columns.reserve(wanted.by.size());
  for (UsageBy dimension : wanted.by) columns.push_back(to_string(dimension));
  const std::string names = fmt::format("{}", fmt::join(columns, ", "));
  q.sql = fmt::format("SELECT {}{}{} FROM usage WHERE project = {}", names,
                      names.empty() ? "" : ", ", sums(), q.text(wanted.project.value));
  if (!wanted.from.empty()) q.sql += fmt::format(" AND day >= {}", q.text(wanted.from));
  if (!wanted.to.empty()) q.sql += fmt::format(" AND day <= {}", q.text(wanted.to));
  if (!columns.empty()) {
    if (!wanted.after.empty()) {
      std::vector<std::string> values;
      values.reserve(wanted.after.size());
      for (const std::string& value : wanted.after) values.push_back(q.text(value));
      q.sql += fmt::format(" AND ({}) > ({})", names, fmt::join(values, ", "));
    }
    q.sql += fmt::format(" GROUP BY {0} ORDER BY {0}", names);
  }
  q.sql += fmt::format(" LIMIT {}", q.number(std::uint64_t{wanted.limit}));
  query.answer = [dimensions = static_cast<int>(columns.size())](
                     const Answers& answers) -> Result<std::vector<UsageRow>> {
    std::vector<UsageRow> found;
    const Rows& rows = answers[0];
    for (int row = 0; row < rows.count(); ++row) {
      UsageRow& usage = found.emplace_back();
      for (int column = 0; column < dimensions; ++column)
        usage.values.push_back(rows.text(row, column));
      usage.counts = counts_of(rows, row, dimensions);
    }
    // The sum of nothing is no row.
    if (dimensions == 0 && found.front().counts.calls == 0) found.clear();
    return found;
  };
  return query;
}

Query<std::vector<Reservation>> reservations(SessionKey key) {
  Query<std::vector<Reservation>> query;
  query.statements.push_back(session_statement(key));
  Statement& q = query.statements.emplace_back();
  const std::string project = q.text(key.project.value), session = q.text(key.session.value);
  q.sql = fmt::format(
      "SELECT {} FROM reservation WHERE project = {} AND session = {} "
      "ORDER BY call",
      kReservationColumns, project, session);
  query.answer = [key](const Answers& answers) -> Result<std::vector<Reservation>> {
    TRY_VOID(living(key, answers[0]));
    return all(answers[1], reservation_of);
  };
  return query;
}

}  // namespace perdure::journal::postgres
