// Brings a sandbox up, from a plan to a runner that serves: the server's half of runner/launch.h.
#pragma once

#include <functional>

#include "async/task.h"
#include "base/error.h"
#include "executor/native/spawn.h"
#include "executor/runner/plan.h"

namespace perdure::executor::native {

struct Launched {
  Spawned init;                ///< our child, the first process of the sandbox
  runner::Descriptor control;  ///< connections are sent through it; its end ends the sandbox
};

/// `prepare(process)` is called when the init exists and waits: for its control groups and its
/// mark. An error there, or of any step inside, ends it. kUnavailable with the step's sentence.
async::Task<Result<Launched>> launch_sandbox(async::Executor executor, int image, runner::Plan plan,
                                             std::function<Result<void>(pid_t)> prepare);

/// Sends one end of a new connection to a runner and gives the other.
Result<runner::Descriptor> connect_through(int control);

}  // namespace perdure::executor::native
