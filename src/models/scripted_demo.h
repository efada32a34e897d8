// What the scripted model answers without a script: enough to see a session work without a key.
//
// It says in every text that it is a scripted demo model; repeats what the user said; tells what
// the user said first, and what time it was told, when asked; calls an offered tool when the user
// writes `call <tool> {json}`, and reports the tool's result. After a tool result it never calls
// again, so no turn goes round for ever. A pure function of the request.
#pragma once

#include <string>

#include "models/script.h"

namespace perdure::models {

ScriptStep demo_step(const ModelRequest& request);

/// The last thing the model is told: the user's text, or the result of a call.
std::string last_input(const ModelRequest& request);
/// The user's first text.
std::string first_input(const ModelRequest& request);

}  // namespace perdure::models
