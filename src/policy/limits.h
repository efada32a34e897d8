// The stated limits of policy.
#pragma once

#include <cstddef>

namespace perdure::policy {

/// What a person gives as the reason of a stop, in bytes.
inline constexpr std::size_t kMaxStopReason = 512;
/// The id that a stop names.
inline constexpr std::size_t kMaxStopTarget = 128;
/// Stops in force at once, of one project.
inline constexpr std::size_t kMaxStopsInForce = 10'000;
/// Stops in one answer.
inline constexpr std::size_t kMaxListedStops = 1000;

}  // namespace perdure::policy
