#include "base/json_number.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <system_error>

namespace perdure {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Larger exponents are refused, even on a zero: they say nothing a double could hold, and not
/// every reader takes them.
constexpr std::int64_t kMaxExponent = 999'999'999;

/// A decimal's value: 0.digits × 10^exponent, without leading or trailing zeros in `digits`.
struct Decimal {
  std::string digits;
  std::int64_t exponent = 0;
  bool operator==(const Decimal&) const = default;
};

/// What stands behind the "e" of a well-formed number, kept below 2 × kMaxExponent; 0 without one.
std::int64_t exponent_of(std::string_view number) {
  std::size_t at = number.find_first_of("eE");
  if (at == std::string_view::npos) return 0;
  std::int64_t exponent = 0;
  for (char c : number.substr(at + 1))
    if (is_digit(c)) exponent = std::min(exponent * 10 + (c - '0'), 2 * kMaxExponent);
  return number[at + 1] == '-' ? -exponent : exponent;
}

/// Of a well-formed JSON number or the output of to_chars; the sign is left out.
Decimal to_decimal(std::string_view number) {
  Decimal decimal;
  bool fraction = false;
  for (char c : number.substr(0, number.find_first_of("eE"))) {
    if (c == '.') fraction = true;
    if (!is_digit(c)) continue;
    bool leading_zero = c == '0' && decimal.digits.empty();
    if (!leading_zero) decimal.digits += c;
    if (fraction && leading_zero) --decimal.exponent;
    if (!fraction && !leading_zero) ++decimal.exponent;
  }
  decimal.digits.erase(decimal.digits.find_last_not_of('0') + 1);
  if (decimal.digits.empty()) return {};
  decimal.exponent += exponent_of(number);
  return decimal;
}

template <class Number>
bool reads_as(std::string_view text, Number& out) {
  return std::from_chars(text.data(), text.data() + text.size(), out) ==
         std::from_chars_result{text.data() + text.size(), std::errc()};
}

}  // namespace

bool is_in_double_range(std::string_view number) {
  if (std::abs(exponent_of(number)) > kMaxExponent) return false;
  double value = 0;
  return reads_as(number, value) || to_decimal(number).exponent <= 0;
}

bool is_exact_number(std::string_view number) {
  std::int64_t signed_value = 0;
  std::uint64_t unsigned_value = 0;
  if (reads_as(number, signed_value) || reads_as(number, unsigned_value)) return true;
  Decimal wanted = to_decimal(number);
  if (wanted.digits.empty()) return true;
  double value = 0;
  if (!reads_as(number, value)) return false;
  char buffer[32];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return to_decimal({buffer, static_cast<std::size_t>(end - buffer)}) == wanted;
}

}  // namespace perdure
