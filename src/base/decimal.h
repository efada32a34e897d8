// Decimal numbers as whole numbers of their smallest unit: "2.50" with six places is 2,500,000.
//
// Exact in both directions; no floating point. For any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace perdure {

/// nullopt for what is no plain decimal number ("12", "0.5", "-3.25"; no exponent), for one with
/// more places than `places` that are not 0, and for one that does not fit.
std::optional<std::int64_t> parse_decimal(std::string_view text, int places);

/// The shortest text of at least `least` places after the point.
std::string format_decimal(std::int64_t number, int places, int least = 0);

}  // namespace perdure
