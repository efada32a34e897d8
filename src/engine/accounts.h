// What was spent, and what may be: the engine's side of usage and budgets, for the doors.
//
// A part of the engine, on its loop. Functions take the project whose money it is; another one's
// things are kNotFound. Numbers are exact nano-dollars, see journal/spend.h.
#pragma once

#include <string>
#include <vector>

#include "engine/paging.h"
#include "journal/journal.h"

namespace perdure::engine {

/// What the model calls of one turn used.
struct TurnUsage {
  std::string turn_id;
  UnixMillis created = 0;
  journal::UsageCounts counts;
  bool operator==(const TurnUsage&) const = default;
};

struct SessionUsage {
  std::string model;
  std::optional<journal::Money> limit;
  journal::Money spent = 0;     ///< by calls that have ended
  journal::Money reserved = 0;  ///< for the one that runs
  Listed<TurnUsage> turns;
};

class Accounts {
 public:
  virtual ~Accounts() = default;

  /// Durable when it returns, and holds for every call that starts from then on.
  virtual async::Task<Result<journal::Budget>> put_budget(journal::Budget budget) = 0;
  virtual async::Task<Result<journal::Committed>> delete_budget(ProjectId project,
                                                                journal::BudgetScope scope,
                                                                std::string id) = 0;
  virtual async::Task<Result<std::vector<journal::Budget>>> budgets(ProjectId project) = 0;
  /// kInvalidArgument, param "after", for a cursor of another list.
  virtual async::Task<Result<std::vector<journal::UsageRow>>> usage(journal::UsageQuery query) = 0;
  /// By turn, from the log. kInvalidArgument, param "after", for a turn that is not there.
  virtual async::Task<Result<SessionUsage>> session_usage(SessionKey key, Page page) = 0;
};

}  // namespace perdure::engine
