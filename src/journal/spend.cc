#include "journal/spend.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>
#include <span>
#include <utility>

#include "journal/append_check.h"
#include "journal/journal.h"

namespace perdure::journal {
namespace {

template <class Word>
using Named = std::pair<Word, std::string_view>;

constexpr std::array kScopes = {Named<BudgetScope>{BudgetScope::kAgent, "agent"},
                                Named<BudgetScope>{BudgetScope::kProject, "project"},
                                Named<BudgetScope>{BudgetScope::kWorkstream, "workstream"}};
constexpr std::array kWindows = {Named<BudgetWindow>{BudgetWindow::kTotal, "total"},
                                 Named<BudgetWindow>{BudgetWindow::kDay, "day"},
                                 Named<BudgetWindow>{BudgetWindow::kMonth, "month"}};
constexpr std::array kDimensions = {
    Named<UsageBy>{UsageBy::kDay, "day"},     Named<UsageBy>{UsageBy::kWorkstream, "workstream"},
    Named<UsageBy>{UsageBy::kAgent, "agent"}, Named<UsageBy>{UsageBy::kSession, "session"},
    Named<UsageBy>{UsageBy::kModel, "model"}, Named<UsageBy>{UsageBy::kProvider, "provider"}};

template <class Names, class Word>
std::string_view word_of(const Names& names, Word word) {
  return std::ranges::find(names, word, &Named<Word>::first)->second;
}

template <class Word, std::size_t kCount>
std::optional<Word> find_word(const std::array<Named<Word>, kCount>& names, std::string_view text) {
  const auto found = std::ranges::find(names, text, &Named<Word>::second);
  if (found == names.end()) return std::nullopt;
  return found->first;
}

std::chrono::year_month_day date_of(UnixMillis time) {
  using std::chrono::sys_time;
  return std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(
      sys_time<std::chrono::milliseconds>(std::chrono::milliseconds(time))));
}

UnixMillis start_of(const std::chrono::year_month_day& date) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::sys_days(date).time_since_epoch())
      .count();
}

}  // namespace

Money add_money(Money a, Money b) {
  Money sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<Money>::max() : std::numeric_limits<Money>::min();
}

UsageCounts& UsageCounts::operator+=(const UsageCounts& other) {
  calls += other.calls;
  abandoned += other.abandoned;
  estimated += other.estimated;
  unpriced += other.unpriced;
  input += other.input;
  cached += other.cached;
  cache_write += other.cache_write;
  output += other.output;
  reasoning += other.reasoning;
  cost = add_money(cost, other.cost);
  estimated_cost = add_money(estimated_cost, other.estimated_cost);
  return *this;
}

Settlement settle_in_full(const Reservation& reservation) {
  Settlement settlement{.call = reservation.call,
                        .reserved = reservation.amount,
                        .payer = reservation.payer,
                        .used = {.calls = 1, .abandoned = 1, .estimated = 1}};
  settlement.used.cost = settlement.used.estimated_cost = reservation.amount;
  return settlement;
}

std::string_view to_string(BudgetScope scope) {
  return word_of(kScopes, scope);
}
std::string_view to_string(BudgetWindow window) {
  return word_of(kWindows, window);
}
std::string_view to_string(UsageBy dimension) {
  return word_of(kDimensions, dimension);
}
std::optional<BudgetScope> parse_budget_scope(std::string_view word) {
  return find_word(kScopes, word);
}
std::optional<BudgetWindow> parse_budget_window(std::string_view word) {
  return find_word(kWindows, word);
}
std::optional<UsageBy> parse_usage_by(std::string_view word) {
  return find_word(kDimensions, word);
}

std::string day_of(UnixMillis time) {
  const auto date = date_of(time);
  return fmt::format("{:04}-{:02}-{:02}", int{date.year()}, unsigned{date.month()},
                     unsigned{date.day()});
}

std::optional<UnixMillis> parse_day(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto number = [&](std::size_t begin, std::size_t length) {
    int value = -1;
    const char* first = text.data() + begin;
    const auto [end, error] = std::from_chars(first, first + length, value);
    return error == std::errc() && end == first + length ? value : -1;
  };
  const int year = number(0, 4), month = number(5, 2), day = number(8, 2);
  if (year < 0 || month < 0 || day < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return start_of(date);
}

UnixMillis window_start(BudgetWindow window, UnixMillis time) {
  if (window == BudgetWindow::kTotal) return 0;
  auto date = date_of(time);
  if (window == BudgetWindow::kMonth) date = date.year() / date.month() / std::chrono::day(1);
  return start_of(date);
}

bool Budget::covers(const Payer& payer) const {
  switch (scope) {
    case BudgetScope::kAgent:
      return payer.agent == id;
    case BudgetScope::kProject:
      return true;
    case BudgetScope::kWorkstream:
      return !payer.workstream.empty() && payer.workstream == id;
  }
  return false;
}

void Budget::roll(UnixMillis now) {
  const UnixMillis began = window_start(window, now);
  if (began <= window_began) return;  // a clock that was set back begins no window anew
  window_began = began;
  spent = 0;
}

bool Budget::go_on_from(Budget kept, UnixMillis now) {
  created = kept.created;
  if (kept.window != window) return false;
  kept.roll(now);
  window_began = kept.window_began;
  spent = kept.spent;
  reserved = kept.reserved;
  return true;
}

Money Budget::left() const {
  return std::max<Money>(add_money(add_money(limit, -spent), -reserved), 0);
}

void Budget::settle(const Settlement& settlement) {
  reserved = std::max<Money>(reserved - settlement.reserved, 0);
  spent = add_money(spent, settlement.used.cost);
}

Result<void> charge(Budget& budget, const Append& append, UnixMillis time) {
  budget.roll(time);
  for (const Settlement& settlement : append.settle)
    if (budget.covers(settlement.payer)) budget.settle(settlement);
  for (const Reservation& reservation : append.reserve) {
    if (!budget.covers(reservation.payer)) continue;
    budget.reserved = add_money(budget.reserved, reservation.amount);
    if (add_money(budget.spent, budget.reserved) > budget.limit)
      return over_budget(budget.scope, budget.id);
  }
  return {};
}

}  // namespace perdure::journal
