#include "journal/memory/memory_spend.h"

#include <algorithm>

#include "journal/append_check.h"
#include "journal/limits.h"

namespace perdure::journal {
namespace {

constexpr std::size_t index_of(UsageBy dimension) {
  return static_cast<std::size_t>(dimension);
}

Payer payer_of(const std::array<std::string, 6>& dimensions) {
  return {.workstream = dimensions[index_of(UsageBy::kWorkstream)],
          .agent = dimensions[index_of(UsageBy::kAgent)],
          .model = dimensions[index_of(UsageBy::kModel)],
          .provider = dimensions[index_of(UsageBy::kProvider)]};
}

}  // namespace

MemorySpend::BudgetKey MemorySpend::key_of(const Budget& budget) {
  return {budget.project, std::string(to_string(budget.scope)), budget.id};
}

Result<std::vector<Budget>> MemorySpend::charged(const Append& append, UnixMillis time) const {
  std::vector<Budget> found;
  if (append.settle.empty() && append.reserve.empty()) return found;
  for (const auto& [key, budget] : budgets_) {
    if (budget.project != append.key.project) continue;
    const auto covered = [&](const auto& change) { return budget.covers(change.payer); };
    if (!std::ranges::any_of(append.settle, covered) &&
        !std::ranges::any_of(append.reserve, covered))
      continue;
    found.push_back(budget);
    TRY_VOID(charge(found.back(), append, time));
  }
  return found;
}

void MemorySpend::write(const Append& append, std::vector<Budget> budgets, UnixMillis time) {
  for (const Settlement& settlement : append.settle) settle(append.key, settlement, time);
  for (const Reservation& reservation : append.reserve)
    reservations_.insert_or_assign({append.key, reservation.call}, reservation);
  for (Budget& budget : budgets) {
    BudgetKey key = key_of(budget);
    budgets_.insert_or_assign(std::move(key), std::move(budget));
  }
}

void MemorySpend::settle(const SessionKey& key, const Settlement& settlement, UnixMillis time) {
  reservations_.erase({key, settlement.call});
  if (settlement.used == UsageCounts{}) return;  // it never became a call
  const Payer& payer = settlement.payer;
  usage_[key.project][{day_of(time), payer.workstream, payer.agent, key.session.value, payer.model,
                       payer.provider}] += settlement.used;
}

void MemorySpend::forget_session(const SessionKey& key, UnixMillis now) {
  for (const Reservation& reservation : reservations(key)) {
    const Settlement settlement = settle_in_full(reservation);
    for (auto& [name, budget] : budgets_) {
      if (budget.project != key.project || !budget.covers(settlement.payer)) continue;
      budget.roll(now);
      budget.settle(settlement);
    }
    settle(key, settlement, now);
  }
  auto& sums = usage_[key.project];
  std::map<Dimensions, UsageCounts> nameless;
  for (auto at = sums.begin(); at != sums.end();) {
    if (at->first[index_of(UsageBy::kSession)] != key.session.value) {
      ++at;
      continue;
    }
    Dimensions dimensions = at->first;
    dimensions[index_of(UsageBy::kSession)].clear();
    nameless[dimensions] += at->second;
    at = sums.erase(at);
  }
  for (const auto& [dimensions, counts] : nameless) sums[dimensions] += counts;
}

Result<Budget> MemorySpend::put(Budget budget, UnixMillis now) {
  const auto kept = budgets_.find(key_of(budget));
  if (kept == budgets_.end() && budgets(budget.project).size() >= kMaxBudgets)
    return too_many_budgets();
  budget.created = now;
  if (kept != budgets_.end() && budget.go_on_from(kept->second, now)) {
    kept->second = budget;
    return budget;
  }
  budget.window_began = window_start(budget.window, now);
  const std::string from = budget.window_began == 0 ? std::string() : day_of(budget.window_began);
  budget.spent = budget.reserved = 0;
  for (const auto& [dimensions, counts] : usage_[budget.project])
    if (dimensions[index_of(UsageBy::kDay)] >= from && budget.covers(payer_of(dimensions)))
      budget.spent = add_money(budget.spent, counts.cost);
  for (const auto& [key, reservation] : reservations_)
    if (key.first.project == budget.project && budget.covers(reservation.payer))
      budget.reserved = add_money(budget.reserved, reservation.amount);
  budgets_.insert_or_assign(key_of(budget), budget);
  return budget;
}

bool MemorySpend::erase(const ProjectId& project, BudgetScope scope, const std::string& id) {
  return budgets_.erase({project, std::string(to_string(scope)), id}) > 0;
}

std::vector<Budget> MemorySpend::budgets(const ProjectId& project) const {
  std::vector<Budget> found;
  for (auto at = budgets_.lower_bound({project, {}, {}});
       at != budgets_.end() && at->second.project == project; ++at)
    found.push_back(at->second);
  return found;
}

std::vector<UsageRow> MemorySpend::usage(const UsageQuery& query) const {
  std::map<std::vector<std::string>, UsageCounts> groups;
  if (const auto sums = usage_.find(query.project); sums != usage_.end())
    for (const auto& [dimensions, counts] : sums->second) {
      const std::string& day = dimensions[index_of(UsageBy::kDay)];
      if (day < query.from || (!query.to.empty() && day > query.to)) continue;
      std::vector<std::string> values;
      values.reserve(query.by.size());
      for (UsageBy dimension : query.by) values.push_back(dimensions[index_of(dimension)]);
      groups[std::move(values)] += counts;
    }
  std::vector<UsageRow> found;
  const bool from_the_first = query.after.empty() || query.by.empty();
  for (auto at = from_the_first ? groups.begin() : groups.upper_bound(query.after);
       at != groups.end() && found.size() < query.limit; ++at)
    found.push_back({at->first, at->second});
  return found;
}

std::vector<Reservation> MemorySpend::reservations(const SessionKey& key) const {
  std::vector<Reservation> found;
  for (auto at = reservations_.lower_bound({key, 0});
       at != reservations_.end() && at->first.first == key; ++at)
    found.push_back(at->second);
  return found;
}

}  // namespace perdure::journal
