// The commands about saved agents: `perdure agents …`.
#pragma once

#include <optional>
#include <string>

#include "cli/commands.h"

namespace perdure::cli {

/// What `perdure agents create` was told.
struct NewAgent {
  std::optional<std::string> file;  ///< JSON, as POST /v1/agents takes it; "-": standard input
  std::optional<std::string> model;
  std::optional<std::string> name;
  std::optional<std::string> instructions;
};

int list_agents(const CommonFlags& flags, const app::Environment& environment, int limit);
/// The newest version where none is named.
int show_agent(const CommonFlags& flags, const app::Environment& environment, const std::string& id,
               const std::optional<int>& version);
int create_agent(const CommonFlags& flags, const app::Environment& environment,
                 const NewAgent& agent);
int list_agent_versions(const CommonFlags& flags, const app::Environment& environment,
                        const std::string& id, int limit);
int remove_agent(const CommonFlags& flags, const app::Environment& environment,
                 const std::string& id);

}  // namespace perdure::cli
