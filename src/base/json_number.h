// What becomes of a number's text when this server reads it: judged on the text, before anything is
// read. Both expect a well-formed JSON number.
#pragma once

#include <string_view>

namespace perdure {

/// False for what a double could hold as infinity only, and for exponents so far out that not every
/// reader takes them. Numbers too small for a double are in range: they become zero.
bool is_in_double_range(std::string_view number);

/// True if the value stays the same when it is read as int64, uint64 or the nearest double and
/// printed in the shortest form.
bool is_exact_number(std::string_view number);

}  // namespace perdure
