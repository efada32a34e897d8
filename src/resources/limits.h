// The stated limits of resources.
#pragma once

namespace perdure::resources {

/// How often an update is tried again because another one of the same thing came first. Updates of
/// one server follow each other, so only a crowd of servers on one store gets there.
inline constexpr int kUpdateAttempts = 64;

}  // namespace perdure::resources
