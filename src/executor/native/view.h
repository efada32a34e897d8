// What a sandbox sees, and what it may do, as a plan for the runner (runner/launch.h lists its
// steps).
//
// A function of what it is given and of what the host has: which of the read-only directories
// exist. Nothing of the host is writable; of /etc there is only what programs need to start,
// without names of the host's users, hosts and resolvers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "executor/native/allowance.h"
#include "executor/runner/plan.h"

namespace perdure::executor::native {

inline constexpr const char* kHome = "/workspace";

struct Identity {
  std::uint32_t host_uid = 0, host_gid = 0;  ///< what the sandbox's one user is outside
};

runner::Plan make_plan(const Allowance& allowance, const Identity& identity, int first_cpu,
                       const std::vector<std::string>& seccomp_programs);

}  // namespace perdure::executor::native
