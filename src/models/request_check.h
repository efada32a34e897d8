// Checks of a request that every protocol needs before it is put into words.
#pragma once

#include <string_view>

#include "base/error.h"
#include "models/provider.h"

namespace perdure::models {

/// What a tool without parameters takes.
inline constexpr std::string_view kNoParameters = R"({"type":"object","properties":{}})";

/// True where `tool_choice` is a function's name.
bool names_function(std::string_view tool_choice);

/// kInvalidArgument where the tools' parameters or the text format are not strict JSON, or the
/// forced function is not offered: raw text that is put into a request must not be able to change
/// its shape.
Result<void> check_request(const ModelRequest& request);

}  // namespace perdure::models
