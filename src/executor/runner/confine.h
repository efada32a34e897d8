// The steps of a plan that take rights away: ids, limits, capabilities, Landlock, seccomp.
//
// Functions of the init (launch.h). An answer is empty for success, kNotMine for a step of another
// kind, else a sentence. The last of them, "seccomp", also gives up every capability, sets
// no_new_privs, and makes this process invisible to those it will start; nothing is allowed back
// afterwards.
#pragma once

#include <string>

#include "executor/runner/plan.h"

namespace perdure::executor::runner {

std::string carry_out_confinement(const PlanStep& step);

/// The version of Landlock that the kernel has; 0: none.
int landlock_version();

}  // namespace perdure::executor::runner
