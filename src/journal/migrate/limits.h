// The stated limits of a migration.
#pragma once

#include <cstddef>

namespace perdure::journal::migrate {

/// Rows that are read, and written in one commit, at a time …
inline constexpr std::size_t kChunkRows = 2000;
/// … which ends with the row that reaches this many bytes. A row has at most kMaxEntryBytes.
inline constexpr std::size_t kChunkBytes = 4 << 20;

}  // namespace perdure::journal::migrate
