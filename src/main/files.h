// Small private files: written whole or not at all, readable by their owner only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace perdure::app {

/// Makes the directory and those above it, with mode 0700.
Result<void> make_private_directory(const std::string& path);

enum class IfPresent { kKeep, kReplace };

/// Writes `content` to a file of mode 0600, durably. With kKeep an existing file is left alone and
/// the result is false.
Result<bool> write_private_file(const std::string& path, std::string_view content,
                                IfPresent if_present);

/// nullopt where there is no such file; kTooLarge for one above `limit` bytes.
Result<std::optional<std::string>> read_small_file(const std::string& path, std::size_t limit);

/// True if group or others may read or write it.
bool is_open_to_others(const std::string& path);

}  // namespace perdure::app
