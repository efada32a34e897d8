// This process as the operating system sees it: numbers for /metrics, its environment, its manners.
#pragma once

#include "facades/admin/metrics.h"
#include "main/config.h"

namespace perdure::app {

/// CPU time, memory and descriptors, now; zeros for what the system does not tell.
facades::admin::ProcessNumbers process_numbers(UnixMillis started);

/// A copy of the environment.
Environment read_environment();

/// Removes variables from this process's environment, so that no child inherits them. Call before
/// the first thread starts.
void forget_variables(const std::vector<std::string>& names);

}  // namespace perdure::app
