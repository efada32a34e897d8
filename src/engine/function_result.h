// A client's result of a function call, as the model reads it. Pure functions.
#pragma once

#include <optional>
#include <string>

namespace perdure::engine {

/// `output` is JSON text: a string, or an array of content parts, whose texts are joined.
std::string text_of_result(bool success, const std::optional<std::string>& output,
                           const std::optional<std::string>& error);

}  // namespace perdure::engine
