// Pages of lists, as the engine's queries take and give them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace perdure::engine {

struct Page {
  std::optional<std::string> after;  ///< an id of the listed kind, exclusive
  std::size_t limit = 20;
  bool ascending = false;
};

template <class T>
struct Listed {
  std::vector<T> data;
  bool has_more = false;
};

}  // namespace perdure::engine
