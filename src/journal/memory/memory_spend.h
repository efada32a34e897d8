// The money of a MemoryDisk: reservations, sums of usage, budgets. Under the disk's mutex.
#pragma once

#include <array>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "journal/journal.h"

namespace perdure::journal {

class MemorySpend {
 public:
  /// What an append makes of the budgets that cover its calls, before anything is written.
  Result<std::vector<Budget>> charged(const Append& append, UnixMillis time) const;
  void write(const Append& append, std::vector<Budget> budgets, UnixMillis time);
  void forget_session(const SessionKey& key, UnixMillis now);

  Result<Budget> put(Budget budget, UnixMillis now);
  bool erase(const ProjectId& project, BudgetScope scope, const std::string& id);
  std::vector<Budget> budgets(const ProjectId& project) const;
  std::vector<UsageRow> usage(const UsageQuery& query) const;
  std::vector<Reservation> reservations(const SessionKey& key) const;

 private:
  using BudgetKey = std::tuple<ProjectId, std::string, std::string>;  // project, scope, id
  using Dimensions = std::array<std::string, 6>;                      // in the order of UsageBy

  static BudgetKey key_of(const Budget& budget);
  void settle(const SessionKey& key, const Settlement& settlement, UnixMillis time);

  std::map<BudgetKey, Budget> budgets_;
  std::map<ProjectId, std::map<Dimensions, UsageCounts>> usage_;
  std::map<std::pair<SessionKey, std::uint64_t>, Reservation> reservations_;
};

}  // namespace perdure::journal
