// The stated limits of the server's own API.
#pragma once

#include <cstddef>

namespace perdure::facades::admin {

inline constexpr std::size_t kMaxBody = 64 << 10;
/// A write of many memory records.
inline constexpr std::size_t kMaxMemoryBody = 4 << 20;
inline constexpr std::size_t kDefaultPage = 100;
inline constexpr std::size_t kMaxPage = 1000;
/// Turns of one session on a page of its usage.
inline constexpr std::size_t kMaxTurnsOfUsage = 100;

/// Model calls of one turn on a page of its context record.
inline constexpr std::size_t kMaxCallsOfContext = 100;

/// Results on a page of a search.
inline constexpr std::size_t kDefaultHits = 20;
inline constexpr std::size_t kMaxHits = 100;

/// Of an agent or workstream, in bytes.
inline constexpr std::size_t kMaxBudgetId = 256;

/// A workstream's description and metadata; the latter as on sessions. In characters but for the
/// pairs.
inline constexpr std::size_t kMaxDescription = 4096;
inline constexpr std::size_t kMaxMetadataPairs = 16;
inline constexpr std::size_t kMaxMetadataKey = 64;
inline constexpr std::size_t kMaxMetadataValue = 512;

}  // namespace perdure::facades::admin
