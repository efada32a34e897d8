// Looks after a sandbox's memory where no control group does.
//
// Functions over /proc, which must belong to the host. What is counted is what processes hold
// resident, shared pages for each of them; files in memory have limits of their own, and what would
// be neither (memfd_create, shmget) the filter of such a sandbox refuses. Between two looks a
// sandbox can exceed its allowance by what it can touch in kWatchMs: a control group is better, and
// `perdure doctor` says which it is.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace perdure::executor::native {

struct WatchedProcess {
  pid_t process = 0;
  std::uint64_t resident_bytes = 0;
};

/// The init and everything below it: orphans of a sandbox become children of its init.
std::vector<WatchedProcess> processes_below(pid_t init);

/// Kills the largest process that is not the init, where all together are above `most`. True if it
/// did. Where only the init is left to kill, it is killed.
bool enforce_memory(pid_t init, std::uint64_t most);

}  // namespace perdure::executor::native
