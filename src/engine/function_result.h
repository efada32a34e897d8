// A client's result of a function call, as the model reads it. Pure functions.
//
// The journal keeps what the client sent, whole. What the model reads of it is made anew for every
// context, the same each time: a long text loses its middle, and images, which not every provider
// takes among a function's output, follow the results in a message of their own (context.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace perdure::engine {

/// `output` is JSON text: a string, or an array of content parts, whose texts are joined.
std::string text_of_result(bool success, const std::optional<std::string>& output,
                           const std::optional<std::string>& error);
/// The URLs of the images among the parts, in order.
std::vector<std::string> images_of_result(const std::optional<std::string>& output);

/// The beginning and the end of what is longer than kMaxResultBytes, and how much is left out.
std::string fit_result(std::string text);

}  // namespace perdure::engine
