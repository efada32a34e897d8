// One sandbox of the native driver, from its launch to its last trace.
//
// The Environment is a handle; the sandbox itself lives in a coroutine on the driver's loop, which
// waits for its init to end, sees to its memory where nobody else does, and removes what is left.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>

#include "async/signal.h"
#include "executor/driver.h"
#include "executor/native/cgroups.h"
#include "executor/native/launch.h"

namespace perdure::executor::native {

struct SandboxSettings {
  std::string id, directory;
  Allowance allowance;
  bool watch_memory = false;
  std::function<void()> on_gone;  ///< nothing of it is left, or it could not be removed
};

/// Takes over what launch_sandbox gave.
std::unique_ptr<Environment> make_sandbox(async::Executor executor, SandboxSettings settings,
                                          Launched launched, Cgroup cgroup);

}  // namespace perdure::executor::native
