// The commands about money: what was spent, and what may be. Like those of commands.h.
#pragma once

#include <optional>
#include <string>

#include "cli/commands.h"

namespace perdure::cli {

struct UsageFlags {
  std::string from;
  std::string to;
  std::string group_by = "day,model";
};

/// All pages.
int show_usage(const CommonFlags& flags, const app::Environment& environment,
               const std::optional<std::string>& project, const UsageFlags& usage);
int show_session_usage(const CommonFlags& flags, const app::Environment& environment,
                       const std::string& id);

struct BudgetFlags {
  std::string scope;
  std::string id;
  std::string limit;  ///< dollars
  std::string window = "total";
};

int list_budgets(const CommonFlags& flags, const app::Environment& environment,
                 const std::optional<std::string>& project);
int set_budget(const CommonFlags& flags, const app::Environment& environment,
               const std::optional<std::string>& project, const BudgetFlags& budget);
int remove_budget(const CommonFlags& flags, const app::Environment& environment,
                  const std::optional<std::string>& project, const BudgetFlags& budget);

}  // namespace perdure::cli
