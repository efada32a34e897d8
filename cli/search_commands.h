// The command that looks into what sessions have said and done.
#pragma once

#include <optional>
#include <string>

#include "cli/commands.h"

namespace perdure::cli {

struct SearchFlags {
  std::string words;
  std::optional<std::string> agent;
  std::optional<std::string> workstream;
  std::optional<std::string> project;
  std::optional<std::string> after;
  int limit = 20;
};

int search(const CommonFlags& flags, const app::Environment& environment,
           const SearchFlags& search);

}  // namespace perdure::cli
