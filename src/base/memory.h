// Memory that is free in this process but not in the system's eyes.
#pragma once

namespace perdure {

/// Gives what the allocator keeps for later back to the system. Costs milliseconds: for after a
/// crowd has left, not for every object.
void release_free_memory();

}  // namespace perdure
