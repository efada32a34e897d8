// The stated limits of identities.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::identity {

/// Length of a project's name.
inline constexpr std::size_t kMaxProjectName = 63;
/// Length of the note that a person gives a key.
inline constexpr std::size_t kMaxKeyName = 128;
/// Keys or projects in one answer.
inline constexpr std::size_t kMaxListed = 1000;
/// Keys whose verification is remembered.
inline constexpr std::size_t kMaxCachedKeys = 1024;
/// How long it is remembered. A revocation by this process counts at once, one by another node
/// after this time.
inline constexpr std::int64_t kCachedKeyMs = 1000;

}  // namespace perdure::identity
