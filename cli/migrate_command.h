// `perdure migrate`: unlike most commands it talks to no server; it works on the stores themselves.
#pragma once

#include "main/config.h"
#include "main/migrate.h"

namespace perdure::cli {

/// Progress on standard error where that is a terminal, a table or JSON of what was moved on
/// standard output. Exit status 130 after Ctrl-C.
int migrate_store(const app::MigrateFlags& flags, bool as_json,
                  const app::Environment& environment);

}  // namespace perdure::cli
