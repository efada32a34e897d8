#include "base/decimal.h"

#include <limits>

namespace perdure {

std::optional<std::int64_t> parse_decimal(std::string_view text, int places) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  std::string_view part = point == std::string_view::npos ? "" : text.substr(point + 1);
  constexpr std::string_view kDigits = "0123456789";
  if (whole.empty() || (point != std::string_view::npos && part.empty())) return std::nullopt;
  if (whole.find_first_not_of(kDigits) != std::string_view::npos ||
      part.find_first_not_of(kDigits) != std::string_view::npos)
    return std::nullopt;
  while (part.ends_with('0')) part.remove_suffix(1);
  if (part.size() > static_cast<std::size_t>(places)) return std::nullopt;
  std::string digits = std::string(whole) + std::string(part);
  digits.append(static_cast<std::size_t>(places) - part.size(), '0');
  std::int64_t number = 0;
  for (const char digit : digits)
    if (__builtin_mul_overflow(number, 10, &number) ||
        __builtin_add_overflow(number, digit - '0', &number))
      return std::nullopt;
  return negative ? -number : number;
}

std::string format_decimal(std::int64_t number, int places, int least) {
  const bool negative = number < 0;
  // The most negative number has no positive one.
  const std::uint64_t magnitude =
      negative ? ~static_cast<std::uint64_t>(number) + 1 : static_cast<std::uint64_t>(number);
  std::string digits = std::to_string(magnitude);
  const auto after_point = static_cast<std::size_t>(places);
  if (digits.size() <= after_point) digits.insert(0, after_point + 1 - digits.size(), '0');
  std::string whole = digits.substr(0, digits.size() - after_point);
  std::string part = digits.substr(digits.size() - after_point);
  while (part.size() > static_cast<std::size_t>(least) && part.ends_with('0')) part.pop_back();
  return (negative ? "-" : "") + whole + (part.empty() ? "" : "." + part);
}

}  // namespace perdure
