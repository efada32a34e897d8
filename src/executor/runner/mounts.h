// The steps of a plan that build what the sandbox sees: files, mounts, devices, the new root.
//
// Functions of the init (launch.h), which is alone in its namespaces and dies with what fails. An
// answer is empty for success, kNotMine for a step of another kind, else a sentence.
#pragma once

#include <string>

#include "executor/runner/plan.h"

namespace perdure::executor::runner {

inline constexpr std::string_view kNotMine = "?";

std::string carry_out_mount(const PlanStep& step);

}  // namespace perdure::executor::runner
