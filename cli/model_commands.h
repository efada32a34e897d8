// The command about models: which pools answer for them, at what price, and how those are. Like
// those of commands.h.
#pragma once

#include "cli/commands.h"

namespace perdure::cli {

int show_models(const CommonFlags& flags, const app::Environment& environment);

}  // namespace perdure::cli
