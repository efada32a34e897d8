// What `perdure doctor` asks this host, without a server.
#pragma once

#include <vector>

#include "executor/probes.h"

namespace perdure::app {

/// Whether sandboxes can be made here, and by which walls. Runs a loop of its own until it knows,
/// at most about a minute.
std::vector<executor::ProbeResult> examine_sandboxes();

}  // namespace perdure::app
