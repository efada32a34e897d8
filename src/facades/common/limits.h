// Limits that all doors share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::facades {

/// Bytes of an Idempotency-Key.
inline constexpr std::size_t kMaxIdempotencyKey = 256;
/// Bytes of an answer kept for a key; a larger one is made anew from the session.
inline constexpr std::size_t kMaxStoredAnswer = 256 << 10;
/// How long a key is remembered.
inline constexpr std::int64_t kIdempotencyLifetimeMs = 24LL * 60 * 60 * 1000;

}  // namespace perdure::facades
