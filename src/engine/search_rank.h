// Which of the items that were found says most about a question, and what to show of it.
//
// Pure functions, the same over every store: how often the words stand in an item, how rare they
// are among the items of the project, how many of them it has, and how long it is. What other
// projects have said makes no difference.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "journal/search.h"

namespace perdure::engine {

struct Ranked {
  std::size_t index = 0;  ///< in FoundItems::items
  double score = 0;       ///< above 0, with three digits
};

/// All of them, the best first; of equals the newest, then in order of session and place.
std::vector<Ranked> rank(const journal::FoundItems& found, const std::vector<std::string>& terms);

/// One line of at most kMaxSnippetBytes, around where most of the words stand close together.
std::string snippet(std::string_view text, const std::vector<std::string>& terms);

}  // namespace perdure::engine
