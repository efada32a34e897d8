// Text of a bounded length, of bytes that may be none. Pure; for any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace perdure::engine {

/// The beginning of `text` that has at most `most` bytes, cut at a character's end; what is no text
/// and NUL become spaces.
std::string bounded_text(std::string_view text, std::size_t most);

}  // namespace perdure::engine
