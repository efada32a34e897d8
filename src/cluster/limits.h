// The stated limits of a cluster.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::cluster {

/// How often a node says that it lives; its lease lasts three times as long.
inline constexpr std::int64_t kRenewEveryMs = 1'000;
/// How soon it tries again where the store did not take that.
inline constexpr std::int64_t kRenewAgainMs = 200;
/// How often it looks whether others have changed what it keeps in memory.
inline constexpr std::int64_t kLookEveryMs = 250;
/// Shards that it hands over between two renewals.
inline constexpr std::size_t kHandedOverAtOnce = 64;
/// How long it waits for sessions to come to rest before it hands over shards that work.
inline constexpr std::int64_t kPatienceMs = 30'000;

}  // namespace perdure::cluster
