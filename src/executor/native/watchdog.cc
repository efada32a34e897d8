#include "executor/native/watchdog.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "executor/native/mark.h"
#include "executor/native/small_files.h"
#include "executor/runner/descriptor.h"

namespace perdure::executor::native {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kMostProcesses = 8192;

std::uint64_t resident_bytes(pid_t process) {
  std::istringstream words(read_small_file(fmt::format("/proc/{}/statm", process)).value_or(""));
  std::uint64_t size = 0, resident = 0;
  words >> size >> resident;
  return resident * static_cast<std::uint64_t>(::getpagesize());
}

}  // namespace

std::vector<WatchedProcess> processes_below(pid_t init) {
  std::vector<WatchedProcess> found = {{init, resident_bytes(init)}};
  for (std::size_t i = 0; i < found.size() && found.size() < kMostProcesses; ++i) {
    std::error_code error;
    std::string tasks = fmt::format("/proc/{}/task", found[i].process);
    for (const auto& task : fs::directory_iterator(tasks, error)) {
      std::istringstream children(read_small_file(task.path().string() + "/children").value_or(""));
      for (pid_t child = 0; children >> child;) found.push_back({child, resident_bytes(child)});
    }
  }
  return found;
}

bool enforce_memory(pid_t init, std::uint64_t most) {
  auto all = processes_below(init);
  std::uint64_t sum = 0;
  for (const WatchedProcess& each : all) sum += each.resident_bytes;
  if (sum <= most) return false;
  auto largest = all.size() == 1 ? all.begin()
                                 : std::ranges::max_element(all.begin() + 1, all.end(), {},
                                                            &WatchedProcess::resident_bytes);
  std::uint64_t started = start_time(largest->process);
  runner::Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, largest->process, 0)));
  // The same process still: it is below the init as long as its number is its own.
  if (!handle || start_time(largest->process) != started) return false;
  return ::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0) == 0;
}

}  // namespace perdure::executor::native
