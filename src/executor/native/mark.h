// What is written down about a sandbox before it exists, so that the next server finds what a
// killed one left behind: its directory below the driver's, with a file that names its process and
// its control groups.
//
// A process is recognised by its number *and* the moment of its start *and* the boot, never by its
// name: a number that somebody else has got since is left alone.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace perdure::executor::native {

struct Mark {
  pid_t process = 0;  ///< 0: none was started yet
  std::uint64_t started = 0;
  std::string boot;
  std::vector<std::string> groups;
};

/// When a process was started, in ticks since the boot; 0 where there is none.
std::uint64_t start_time(pid_t process);
std::string boot_id();

/// Writes `directory`/mark, whole or not at all; makes the directory.
Result<void> write_mark(const std::string& directory, const Mark& mark);
/// Ends what the mark names, and removes its control groups and the directory. kInternal: something
/// is left, and what.
Result<void> clean_up(const std::string& directory);
/// All directories below `parent`. Gives how many there were.
Result<int> clean_up_all(const std::string& parent);

}  // namespace perdure::executor::native
