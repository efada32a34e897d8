#include "executor/native/runner_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

// Executable although the host may make files in memory unexecutable by default; Linux 6.3.
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

extern "C" const char perdure_runner_begin[];
extern "C" const char perdure_runner_end[];

namespace perdure::executor::native {

std::string_view embedded_runner() {
  return {perdure_runner_begin,
          static_cast<std::size_t>(perdure_runner_end - perdure_runner_begin)};
}

Result<runner::Descriptor> runner_image() {
  auto failed = [](const char* what) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("the runner's program in memory: {}: {}", what, std::strerror(errno)));
  };
  int number = ::memfd_create("perdure-runner", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (number < 0 && errno == EINVAL)
    number = ::memfd_create("perdure-runner", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (number < 0) return failed("make it");
  runner::Descriptor file(number);
  std::string_view program = embedded_runner();
  while (!program.empty()) {
    ssize_t written = ::write(file.get(), program.data(), program.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("write it");
    program.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fchmod(file.get(), 0555) != 0) return failed("make it executable");
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) !=
      0)
    return failed("seal it");
  return file;
}

}  // namespace perdure::executor::native
