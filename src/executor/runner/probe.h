// Tries one thing that a sandbox needs, for `perdure doctor`: a kernel's version promises nothing.
//
// Runs in a process of its own, which the asker ends when it takes too long. Prints one line: what
// was found, or why it does not work.
#pragma once

#include <string_view>

namespace perdure::executor::runner {

/// 0: it works, 1: it does not, 2: no such probe. The names: namespaces, mounts, proc, landlock,
/// seccomp, openat2, pidfd.
int probe(std::string_view name);

}  // namespace perdure::executor::runner
