// What this binary is. Filled in by the build: the commit whenever it runs, the rest when
// it is configured.
#pragma once

#include <string>
#include <string_view>

namespace perdure::app {

struct Version {
  std::string_view number;      ///< "0.1.0"
  std::string_view commit;      ///< short hash, or "unknown" outside a repository
  std::string_view compiler;    ///< "Clang 19.1.7"
  std::string_view build_type;  ///< "Release", "Debug"
};

Version version();

}  // namespace perdure::app
