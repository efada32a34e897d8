// Planted bugs: how we know that the tests have teeth.
//
// A build with PERDURE_PLANTED_BUGS reads the environment variable PERDURE_BUG once; code at the
// places below then misbehaves on purpose, and tests/teeth demands that a named test fails. In
// every other build `planted` is a constant false and the compiler removes the branch.
#pragma once

#include <cstdlib>
#include <string_view>

namespace perdure {

#ifdef PERDURE_PLANTED_BUGS
inline bool planted(std::string_view bug) {
  static const char* name = std::getenv("PERDURE_BUG");
  return name && bug == name;
}
#else
constexpr bool planted(std::string_view) {
  return false;
}
#endif

}  // namespace perdure
