// The stated limits of a migration.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::journal::migrate {

/// Rows that are read, and written in one commit, at a time …
inline constexpr std::size_t kChunkRows = 2000;
/// … which ends with the row that reaches this many bytes. A row has at most kMaxEntryBytes.
inline constexpr std::size_t kChunkBytes = 4 << 20;
/// How long a database may take for one of them: a large row over a slow network is no failure, and
/// a network that is gone is noticed sooner by other means (postgres/target.cc).
inline constexpr std::int64_t kChunkMs = 600'000;

}  // namespace perdure::journal::migrate
