// The server as a whole: the composition root. It builds every part, knows them all, and is the
// only place that does.
//
// `run` blocks until the server has ended. The first SIGTERM or SIGINT drains: no new connections,
// running requests answered, streams ended, model calls cancelled without a word in the journal
// (the next start takes them up). What is still running after kDrainMs is cut off, which costs
// nothing that was acknowledged; a second signal does so at once. One loop on the calling thread,
// one writer thread of the store, a small pool for blocking work.
#pragma once

#include <cstdint>

#include "main/config.h"

namespace perdure::app {

/// How long running work may take to end after the first signal.
inline constexpr std::int64_t kDrainMs = 10'000;

/// Exit status: 0 after a drain, 1 where the server could not start (the reason is on standard
/// error), 2 where the configuration cannot work, 128 + signal when ended by a second signal.
/// `environment` is the process's environment as it was at start.
int run(Config config, Environment environment);

}  // namespace perdure::app
