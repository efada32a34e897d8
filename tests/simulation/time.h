// The time of a simulation: it stands still while anybody has something to do, and then jumps.
//
// Every timer of the program goes by it (async/timer.h): time.cc defines what timer.cc defines in
// the server.
#pragma once

#include <cstdint>

namespace perdure::simulation {

/// Milliseconds since the simulation began; of the one that runs in this thread.
std::int64_t now_ms();
/// Also a new beginning: 0.
void set_now_ms(std::int64_t now);

/// When the next timer ends of the loops that were looked at since the last call; at most an hour
/// from now.
std::int64_t next_timer_ms();

}  // namespace perdure::simulation
