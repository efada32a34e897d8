// The tables `reservation`, `usage` and `budget` of a store: what appends and deletions add to
// their statements, and the writes and queries of budgets. Values and text; they know nothing of
// connections and threads.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "journal/postgres/reads.h"
#include "journal/postgres/writes.h"

namespace perdure::journal::postgres {

/// One part of a statement: "name AS (text)".
struct StatementPart {
  std::string_view name;
  std::string text;
};

/// What an append moves of the budgets that cover its calls, and its rows of usage and
/// reservations. It borrows the append, which outlives it and stays where it is.
class Charges {
 public:
  explicit Charges(const Append& append);

  bool empty() const { return shares_.empty(); }
  /// The part `charged`: what becomes of the budgets that there are, locked until the commit.
  StatementPart charged(Statement* q, UnixMillis time) const;
  /// An expression: the place of the first budget in which the reservations do not fit, or NULL.
  /// Needs `charged`.
  static std::string_view overdrawn();
  /// What happens where the part `guard` has a row.
  std::vector<StatementPart> changes(Statement* q, UnixMillis time) const;
  std::unexpected<Error> refusal(std::size_t place) const;

 private:
  /// What is moved of one budget, if there is one.
  struct Share {
    BudgetScope scope = BudgetScope::kProject;
    std::string id;
    Money settled = 0;   // no longer reserved
    Money cost = 0;      // spent
    Money reserved = 0;  // from now on
    bool asks = false;   // whether anything is to be reserved
  };
  template <class Change>
  void add_to_shares(const Payer& payer, const Change& change);

  const Append& append_;
  std::vector<Share> shares_;
};

/// What a deletion adds: its session's open reservations are settled in full, its id goes out of
/// the sums. They happen where the part `guard` has a row.
std::vector<StatementPart> forget_session_spend(Statement* q, const SessionKey& key,
                                                UnixMillis now);

class PutBudget {
 public:
  explicit PutBudget(Budget budget) : budget_(std::move(budget)) {}
  Statement statement(UnixMillis now) const;
  Result<Budget> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  Budget budget_;
};

class DeleteBudget {
 public:
  DeleteBudget(ProjectId project, BudgetScope scope, std::string id, std::uint64_t epoch)
      : project_(std::move(project)), scope_(scope), id_(std::move(id)), epoch_(epoch) {}
  Statement statement(UnixMillis now) const;
  Result<Written> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  ProjectId project_;
  BudgetScope scope_;
  std::string id_;
  std::uint64_t epoch_;
};

Query<std::vector<Budget>> budgets(ProjectId project);
Query<std::vector<UsageRow>> usage(UsageQuery wanted);
Query<std::vector<Reservation>> reservations(SessionKey key);

}  // namespace perdure::journal::postgres
