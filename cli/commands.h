// The commands that talk to a server. Each prints its result on standard output, what went wrong on
// standard error, and returns the exit status.
#pragma once

#include <optional>
#include <string>

#include "cli/api_client.h"

namespace perdure::cli {

struct CommonFlags {
  ServerFlags server;
  bool json = false;
};

int create_key(const CommonFlags& flags, const app::Environment& environment,
               const std::string& project, const std::string& name);
int list_keys(const CommonFlags& flags, const app::Environment& environment,
              const std::optional<std::string>& project);
int revoke_key(const CommonFlags& flags, const app::Environment& environment,
               const std::string& id);

int list_sessions(const CommonFlags& flags, const app::Environment& environment, int limit,
                  const std::optional<std::string>& workstream);
int show_session(const CommonFlags& flags, const app::Environment& environment,
                 const std::string& id);

/// Prints events until the session is deleted or the server ends.
int tail_session(const CommonFlags& flags, const app::Environment& environment,
                 const std::string& id);
int cancel_session(const CommonFlags& flags, const app::Environment& environment,
                   const std::string& id);

int stop(const CommonFlags& flags, const app::Environment& environment, const std::string& scope,
         const std::string& id, const std::string& reason,
         const std::optional<std::string>& project);
int list_stops(const CommonFlags& flags, const app::Environment& environment,
               const std::optional<std::string>& project, bool with_lifted);
int lift_stop(const CommonFlags& flags, const app::Environment& environment, const std::string& id);

int print_version(bool as_json);

}  // namespace perdure::cli
