// A tool's output, made fit for the journal and the model: valid UTF-8 of a bounded length.
#pragma once

#include <string>

namespace perdure::engine {

/// Bytes that are no text become U+FFFD; what is longer than kMaxToolOutputBytes is cut, and says
/// so.
std::string fit_for_model(std::string output);

}  // namespace perdure::engine
