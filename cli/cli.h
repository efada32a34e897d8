// The command line: what may be asked, and who does it.
#pragma once

namespace perdure::cli {

/// Runs one command and returns the exit status (exit_code.h).
int run(int argc, char** argv);

}  // namespace perdure::cli
