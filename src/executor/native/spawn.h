// Starts the runner's program as a child of this process.
//
// A spawn, not a fork: nothing of this process, which may be large and has secrets, is copied. The
// child gets an empty environment, /dev/null as its standard streams, a session of its own, and two
// descriptors: 3 and 4 (runner/main.cc).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "async/task.h"
#include "base/error.h"
#include "executor/runner/descriptor.h"

namespace perdure::executor::native {

struct Spawned {
  pid_t process = 0;
  runner::Descriptor handle;  ///< pidfd
};

/// `output`: where its standard output and error go; -1: nowhere.
Result<Spawned> spawn_runner(int image, const std::vector<std::string>& arguments, int channel,
                             int control, int output = -1);

/// Waits until a child has ended, and collects it. Gives what waitid says: its exit status, or 128
/// and the signal.
async::Task<int> wait_for_end(async::Executor executor, runner::Descriptor handle);

}  // namespace perdure::executor::native
