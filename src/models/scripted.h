// The built-in scripted model: deterministic, offline, without a key.
//
// With a script (script.h) it plays that; what no step answers, and everything without a script, it
// answers as the demo does (scripted_demo.h). It streams word by word, takes the time the script
// says, and ends at once when cancelled. The place in the script is kept in memory for each session
// (ModelRequest::cache_key) and starts over with the process. Used on the loop.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "models/provider.h"
#include "models/script.h"

namespace perdure::models {

inline constexpr std::string_view kScripted = "scripted";

std::unique_ptr<Provider> make_scripted(std::string name, std::optional<Script> script = {});

}  // namespace perdure::models
