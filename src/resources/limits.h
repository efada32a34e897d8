// The stated limits of resources.
#pragma once

#include <cstddef>

namespace perdure::resources {

/// How often an update is tried again because another one of the same thing came first. Updates of
/// one server follow each other, so only a crowd of servers on one store gets there.
inline constexpr int kUpdateAttempts = 64;

/// Members, and agents, of one workstream: its row names all of them.
inline constexpr std::size_t kMaxWorkstreamMembers = 256;
inline constexpr std::size_t kMaxWorkstreamAgents = 256;
/// Rows read at once while a list looks for workstreams to show.
inline constexpr std::size_t kWorkstreamsAtOnce = 200;

}  // namespace perdure::resources
