#include "cli/money_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <set>
#include <string_view>

#include "base/decimal.h"

namespace perdure::cli {
namespace {

constexpr int kNanoPlaces = 9;
constexpr std::array<std::string_view, 3> kWindows = {"total", "day", "month"};
constexpr std::array<std::string_view, 3> kScopes = {"project", "workstream", "agent"};
constexpr std::array<std::string_view, 6> kGroupings = {"day",     "workstream", "agent",
                                                        "session", "model",      "provider"};

template <std::size_t N>
bool is_one_of(std::string_view word, const std::array<std::string_view, N>& words) {
  return std::ranges::find(words, word) != words.end();
}

std::optional<unsigned> number(std::string_view digits) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

bool is_day(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const auto year = number(text.substr(0, 4));
  const auto month = number(text.substr(5, 2));
  const auto day = number(text.substr(8, 2));
  return year && month && day &&
         std::chrono::year_month_day{std::chrono::year(static_cast<int>(*year)),
                                     std::chrono::month(*month), std::chrono::day(*day)}
             .ok();
}

}  // namespace

std::string wrong_dollars(const std::string& text) {
  const auto money = parse_decimal(text, kNanoPlaces);
  if (money && *money >= 0) return {};
  return fmt::format(
      "'{}' is not an amount of dollars: a decimal number of at least 0 with at most nine places, "
      "such as 12.50",
      text);
}

std::string wrong_window(const std::string& text) {
  if (is_one_of(text, kWindows)) return {};
  return fmt::format("'{}' is not a window ({})", text, fmt::join(kWindows, ", "));
}

std::string wrong_scope(const std::string& text) {
  if (is_one_of(text, kScopes)) return {};
  if (text == "session")
    return "a session's limit is its spend_control, given when it is created; budgets are of a "
           "project, workstream or agent";
  return fmt::format("'{}' has no budget ({})", text, fmt::join(kScopes, ", "));
}

std::string wrong_day(const std::string& text) {
  if (is_day(text)) return {};
  return fmt::format("'{}' is not a day, such as 2026-02-03", text);
}

std::string wrong_grouping(const std::string& text) {
  std::set<std::string_view> seen;
  std::string_view rest = text;
  while (true) {
    const std::size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    if (!is_one_of(word, kGroupings))
      return fmt::format("'{}' is nothing to sum up by ({}, with commas between them)", word,
                         fmt::join(kGroupings, ", "));
    if (!seen.insert(word).second) return fmt::format("'{}' stands there twice", word);
    if (comma == std::string_view::npos) return {};
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace perdure::cli
