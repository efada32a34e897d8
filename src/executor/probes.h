// What this host allows: each thing that a sandbox needs, tried.
//
// For `perdure doctor --sandbox`. Each probe runs in a process of its own with a deadline, because
// a kernel that knows a call may still hang in it. Nothing is left behind.
#pragma once

#include <string>
#include <vector>

#include "async/task.h"
#include "base/env.h"

namespace perdure::executor {

struct ProbeResult {
  std::string name;
  bool works = false;
  bool needed = true;  ///< no sandbox without it
  std::string text;    ///< what was found, or why it does not work
};

/// In the order in which they build on each other; the last one makes a whole sandbox, in a
/// directory of its own below `temporary_directory`, and runs a command in it.
async::Task<std::vector<ProbeResult>> probe_host(async::Executor executor, Env* env,
                                                 std::string temporary_directory);

/// Only the whole one: whether sandboxes can be made here.
async::Task<ProbeResult> probe_sandbox(async::Executor executor, Env* env,
                                       std::string temporary_directory);

}  // namespace perdure::executor
