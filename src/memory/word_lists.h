// What is known about English words beyond their spelling: those that say nothing, and irregular
// forms. Pure functions over sorted tables; words are lower-case.
#pragma once

#include <string_view>

namespace perdure::memory {

/// "the", "what", "did" …: in a question they tell nothing about the answer.
bool says_nothing(std::string_view word);

/// "go" for "went", "child" for "children"; empty for a regular word.
std::string_view base_form(std::string_view word);

}  // namespace perdure::memory
