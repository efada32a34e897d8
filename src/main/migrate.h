// `perdure migrate`: which stores the operator means, and a person who ends it early.
//
// Blocks until it is done. The first SIGINT or SIGTERM ends it in order: the source stays as it
// was; a second one ends the process at once, which leaves no other state than a kill does.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "journal/migrate/migrate.h"
#include "main/config.h"

namespace perdure::app {

struct MigrateFlags {
  /// "sqlite": in the data directory; a URL; "postgresql": the URL of the configuration.
  std::string from;
  std::string to;
  Flags server;  ///< --config and --data-dir
  bool keep_source = false;
};

struct MigrateEnd {
  Result<journal::migrate::Summary> summary;
  int signal = 0;  ///< that ended it
};

/// kInvalidArgument: what was named is no pair of stores; nothing was tried.
MigrateEnd migrate(const MigrateFlags& flags, const Environment& environment,
                   std::function<void(const journal::migrate::Progress&)> progress);

}  // namespace perdure::app
