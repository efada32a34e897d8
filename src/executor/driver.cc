#include "executor/driver.h"

namespace perdure::executor {

std::string_view to_string(EndReason reason) {
  switch (reason) {
    case EndReason::kDestroyed:
      return "destroyed";
    case EndReason::kOutOfMemory:
      return "out_of_memory";
    case EndReason::kTooManyProcesses:
      return "too_many_processes";
    case EndReason::kEnded:
      return "ended";
  }
  return "ended";
}

}  // namespace perdure::executor
