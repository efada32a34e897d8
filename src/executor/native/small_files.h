// Reading and writing the one-line files of /proc and of control groups.
#pragma once

#include <optional>
#include <string>

namespace perdure::executor::native {

/// nullopt where it cannot be read; at most 1 MiB.
std::optional<std::string> read_small_file(const std::string& path);
/// 0, or an errno value.
int write_small_file(const std::string& path, const std::string& text);

}  // namespace perdure::executor::native
