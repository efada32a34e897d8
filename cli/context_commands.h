// The commands that show what models were sent.
#pragma once

#include <string>

#include "cli/commands.h"

namespace perdure::cli {

/// An empty `turn` means the session's newest.
int show_session_context(const CommonFlags& flags, const app::Environment& environment,
                         const std::string& id, const std::string& turn);

}  // namespace perdure::cli
