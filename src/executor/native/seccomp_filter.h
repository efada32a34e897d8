// The system calls of a sandbox, as programs for the kernel's filter.
//
// Pure. Two programs, of which the stricter answer counts: one names every call that is allowed, so
// that what a newer kernel adds is refused until somebody has looked at it; the other looks at
// arguments. Refused calls that programs ask for in vain get ENOSYS, which they know how to live
// with; those that only an attack needs get EPERM. A call of another architecture's table ends the
// process.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace perdure::executor::native {

/// Raw BPF, for a plan's "seccomp" step. `memory_is_counted`: by a control group; without one there
/// is no memory that only a descriptor holds, because nobody could count it.
Result<std::vector<std::string>> seccomp_programs(bool memory_is_counted);

}  // namespace perdure::executor::native
