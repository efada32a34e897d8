// What model calls cost, beside the log: reservations, usage and budgets, as plain values.
//
// The numbers follow the entries and are never ahead of them: an append that holds a call's intent
// holds its reservation, the one that holds its end holds the settlement, so a call is settled
// exactly as often as it ends, once. Money is whole nano-dollars (models/price.h says why). The
// arithmetic of a budget is here, in one place, for every store and for the engine's ledger. Stores
// keep the rows; for any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/error.h"
#include "base/ids.h"

namespace perdure::journal {

/// Nano-dollars.
using Money = std::int64_t;
/// The sum, or the nearest there is.
Money add_money(Money a, Money b);

/// Who a model call is charged to, beside its project and session.
struct Payer {
  std::string workstream;  ///< empty: none
  std::string agent;
  std::string model;     ///< as clients name it
  std::string provider;  ///< that was asked
  auto operator<=>(const Payer&) const = default;
};

/// Sums over model calls.
struct UsageCounts {
  std::int64_t calls = 0;
  std::int64_t abandoned = 0;  ///< of them: without an answer
  std::int64_t estimated = 0;  ///< of them: nobody told what they used
  std::int64_t unpriced = 0;   ///< of them: what they cost is not known, and counted as nothing
  std::int64_t input = 0;      ///< tokens, as are the next four
  std::int64_t cached = 0;
  std::int64_t cache_write = 0;
  std::int64_t output = 0;
  std::int64_t reasoning = 0;
  Money cost = 0;
  Money estimated_cost = 0;  ///< part of cost that is an estimate
  UsageCounts& operator+=(const UsageCounts& other);
  bool operator==(const UsageCounts&) const = default;
};

/// Money put aside for a call that runs.
struct Reservation {
  std::uint64_t call = 0;  ///< the entry of its intent
  Money amount = 0;
  Payer payer;
  bool operator==(const Reservation&) const = default;
};

/// The end of a call: what it used, and what had been put aside for it.
struct Settlement {
  std::uint64_t call = 0;
  Money reserved = 0;
  Payer payer;
  UsageCounts used;
  bool operator==(const Settlement&) const = default;
};

/// The end of a call of which nothing more will be known: all of its reservation, as an estimate.
Settlement settle_in_full(const Reservation& reservation);

enum class BudgetScope : std::uint8_t { kAgent, kProject, kWorkstream };
enum class BudgetWindow : std::uint8_t { kTotal, kDay, kMonth };

std::string_view to_string(BudgetScope scope);
std::string_view to_string(BudgetWindow window);
std::optional<BudgetScope> parse_budget_scope(std::string_view word);
std::optional<BudgetWindow> parse_budget_window(std::string_view word);

/// "2026-02-03", of the calendar of UTC.
std::string day_of(UnixMillis time);
/// nullopt for what is no day.
std::optional<UnixMillis> parse_day(std::string_view text);
/// When the window that `time` lies in began, on the calendar of UTC; 0 for a window without end.
UnixMillis window_start(BudgetWindow window, UnixMillis time);

/// A limit for all that one agent, workstream or project spends in a window. What a call costs
/// counts in the window in which it ends.
struct Budget {
  ProjectId project;
  BudgetScope scope = BudgetScope::kProject;
  std::string id;  ///< of the agent or workstream; a project's is its name
  Money limit = 0;
  BudgetWindow window = BudgetWindow::kTotal;
  UnixMillis created = 0;
  UnixMillis window_began = 0;  ///< of the window that `spent` counts
  Money spent = 0;
  Money reserved = 0;  ///< for calls that run now, whenever they began

  bool covers(const Payer& payer) const;
  /// Begins a new window where one has begun.
  void roll(UnixMillis now);
  Money left() const;
  /// What settling does.
  void settle(const Settlement& settlement);
  /// Goes on counting where `kept`, the same budget until now, stands. False where its window is
  /// another one, so that the sums must be made anew.
  bool go_on_from(Budget kept, UnixMillis now);
  bool operator==(const Budget&) const = default;
};

struct Append;
/// Makes the budget what it is after the append's settlements and then its reservations. Its
/// reservations are refused where they do not fit: kUnavailable with reason "budget".
Result<void> charge(Budget& budget, const Append& append, UnixMillis time);

enum class UsageBy : std::uint8_t { kDay, kWorkstream, kAgent, kSession, kModel, kProvider };
std::string_view to_string(UsageBy dimension);
std::optional<UsageBy> parse_usage_by(std::string_view word);

/// Sums of one project by some dimensions, in order of their values.
struct UsageQuery {
  ProjectId project;
  std::string from;  ///< days, both included; empty: without end
  std::string to;
  std::vector<UsageBy> by;         ///< empty: one row; none twice
  std::vector<std::string> after;  ///< the values of a row, exclusive; empty: from the first
  std::size_t limit = 100;
};

struct UsageRow {
  std::vector<std::string> values;  ///< of the query's dimensions; empty text: none, or deleted
  UsageCounts counts;
  bool operator==(const UsageRow&) const = default;
};

}  // namespace perdure::journal
