// What a sandbox may use, by its size.
#pragma once

#include <cstdint>

#include "executor/driver.h"

namespace perdure::executor::native {

struct Allowance {
  int cpus = 1;
  std::uint64_t memory_bytes = 0;  ///< processes and files in memory together, where a group counts
  std::uint64_t processes = 0;     ///< threads count too
  std::uint64_t workspace_bytes = 0;  ///< of the workspace; files there are in memory
  std::uint64_t temporary_bytes = 0;  ///< of /tmp, and of /dev/shm
  std::uint64_t files = 0;            ///< names in the workspace, and in /tmp
};

constexpr Allowance allowance_of(Size size) {
  constexpr std::uint64_t kMega = 1 << 20, kGiga = 1 << 30;
  switch (size) {
    case Size::kSmall:
      return {1, 1 * kGiga, 256, 512 * kMega, 128 * kMega, 50'000};
    case Size::kMedium:
      return {2, 4 * kGiga, 512, 2 * kGiga, 512 * kMega, 200'000};
    case Size::kLarge:
      return {4, 16 * kGiga, 1024, 8 * kGiga, 2 * kGiga, 500'000};
  }
  return {};
}

}  // namespace perdure::executor::native
