// The commands about workstreams: `perdure workstreams …`, and what their flags are read into.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace CLI {
class App;
}

namespace perdure::cli {

struct WorkstreamFlags {
  std::string name;
  std::optional<std::string> project;
  // ls
  bool with_archived = false;
  bool oldest_first = false;
  // create, set
  std::optional<std::string> description;
  std::vector<std::string> metadata;  ///< KEY=VALUE
  std::vector<std::string> agents;
  bool no_agents = false;
  std::vector<std::string> members;  ///< KEY_ID or KEY_ID=ROLE
  bool archive = false;
  bool unarchive = false;
  std::string limit;  ///< dollars; empty: not given
  std::string window = "total";
  bool no_limit = false;
  // members
  std::string subject;
  std::string role = "member";
};

int list_workstreams(const CommonFlags& flags, const app::Environment& environment,
                     const WorkstreamFlags& wanted);
int show_workstream(const CommonFlags& flags, const app::Environment& environment,
                    const WorkstreamFlags& wanted);
int create_workstream(const CommonFlags& flags, const app::Environment& environment,
                      const WorkstreamFlags& wanted);
int change_workstream(const CommonFlags& flags, const app::Environment& environment,
                      const WorkstreamFlags& wanted);
int remove_workstream(const CommonFlags& flags, const app::Environment& environment,
                      const WorkstreamFlags& wanted);
int list_workstream_members(const CommonFlags& flags, const app::Environment& environment,
                            const WorkstreamFlags& wanted);
int set_workstream_member(const CommonFlags& flags, const app::Environment& environment,
                          const WorkstreamFlags& wanted);
int remove_workstream_member(const CommonFlags& flags, const app::Environment& environment,
                             const WorkstreamFlags& wanted);

using RunWorkstreams = int (*)(const CommonFlags&, const app::Environment&, const WorkstreamFlags&);

/// Adds `workstreams` and its subcommands. `finish` is called for each of them: it adds the flags
/// that all commands have, and remembers what to run. `flags` must outlive the parsing.
void define_workstreams(CLI::App& root, WorkstreamFlags* flags,
                        const std::function<void(CLI::App&, RunWorkstreams)>& finish);

}  // namespace perdure::cli
