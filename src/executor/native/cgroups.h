// Control groups for sandboxes, of whichever version the host lets us make some.
//
// `Cgroups` is found once, by trying: a group is made and removed below our own. A `Cgroup` belongs
// to one sandbox; its paths stand in the sandbox's mark before it is made, so that what a killed
// server leaves behind is found. Where there are none, `why_not` says why, and a watchdog takes
// their place.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "executor/native/allowance.h"

namespace perdure::executor::native {

class Cgroups {
 public:
  /// What this process may make on this host.
  static Cgroups find();
  /// None, for who does not want them.
  static Cgroups none(std::string why);

  bool limits_memory() const { return parents_.contains("memory"); }
  bool limits_processes() const { return parents_.contains("pids"); }
  bool limits_cpu() const { return parents_.contains("cpu"); }
  const std::string& why_not() const { return why_not_; }
  bool second_version() const { return second_version_; }

  /// Directories of a group of this name: each once.
  std::vector<std::string> paths(const std::string& name) const;

 private:
  friend class Cgroup;
  bool try_first_version();
  bool try_second_version();

  std::map<std::string, std::string> parents_;  ///< controller: directory for our groups
  bool second_version_ = false;
  std::string why_not_;
};

class Cgroup {
 public:
  Cgroup() = default;
  /// Makes it, with its limits.
  static Result<Cgroup> make(const Cgroups& where, const std::string& name,
                             const Allowance& allowance);
  /// One whose directories are known.
  explicit Cgroup(std::vector<std::string> paths) : paths_(std::move(paths)) {}

  Result<void> add(pid_t process) const;
  /// How many processes have been killed for want of memory.
  std::uint64_t out_of_memory_kills() const;
  /// Processes in it.
  std::vector<pid_t> processes() const;
  /// True once nothing of it is left. Processes keep it alive.
  bool remove() const;

 private:
  std::vector<std::string> paths_;
};

}  // namespace perdure::executor::native
