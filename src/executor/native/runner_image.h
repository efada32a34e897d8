// The runner's program, which is part of this one: as a sealed file in memory that can be executed.
//
// Owned by a driver. Sealed, so that nobody who gets hold of it can change it for the next sandbox.
#pragma once

#include <string_view>

#include "base/error.h"
#include "executor/runner/descriptor.h"

namespace perdure::executor::native {

/// The bytes of the program, as the linker has them.
std::string_view embedded_runner();

/// An executable file in memory. kUnavailable where the host does not run such files.
Result<runner::Descriptor> runner_image();

}  // namespace perdure::executor::native
