#include "executor/native/mark.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <thread>

#include "base/json.h"
#include "executor/limits.h"
#include "executor/native/cgroups.h"
#include "executor/native/small_files.h"
#include "executor/runner/descriptor.h"

namespace perdure::executor::native {
namespace {

namespace fs = std::filesystem;
using runner::Descriptor;

std::unexpected<Error> left(const std::string& what) {
  return fail(ErrorCode::kInternal, "left behind by a sandbox: " + what);
}

/// Kills the process if it is the one that is meant; true once it is gone.
bool end_process(pid_t process, std::uint64_t started) {
  Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
  if (!handle) return errno == ESRCH;
  // Looked at through the descriptor's process: its number cannot change hands any more.
  if (started != 0 && start_time(process) != started) return true;
  ::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0);
  pollfd waited{handle.get(), POLLIN, 0};
  return ::poll(&waited, 1, static_cast<int>(kDestroyMs)) == 1;
}

bool remove_group(const Cgroup& group) {
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDestroyMs);
  while (!group.remove()) {
    if (std::chrono::steady_clock::now() > until) return false;
    // In a group that is ours by its mark; its init's death has ended all but who was not yet its.
    for (pid_t process : group.processes()) end_process(process, start_time(process));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace

std::uint64_t start_time(pid_t process) {
  std::string text = read_small_file(fmt::format("/proc/{}/stat", process)).value_or("");
  std::size_t end = text.rfind(')');  // of the program's name, which may have anything in it
  if (end == std::string::npos) return 0;
  std::istringstream words(text.substr(end + 1));
  std::string word;
  for (int field = 3; field < 22 && words >> word; ++field) {
  }
  std::uint64_t started = 0;
  words >> started;
  return started;
}

std::string boot_id() {
  std::string text = read_small_file("/proc/sys/kernel/random/boot_id").value_or("");
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<void> write_mark(const std::string& directory, const Mark& mark) {
  json::array groups(mark.groups.begin(), mark.groups.end());
  json::value value = {{"process", mark.process},
                       {"started", mark.started},
                       {"boot", mark.boot},
                       {"groups", std::move(groups)}};
  std::string text = perdure::serialize(value) + "\n", path = directory + "/mark";
  auto failed = [&] {
    return fail(ErrorCode::kUnavailable, fmt::format("{}: {}", path, std::strerror(errno)));
  };
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return failed();
  std::string fresh = path + ".new";
  Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  // Not flushed: after a power loss no process is left that it could name.
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::rename(fresh.c_str(), path.c_str()) != 0)
    return failed();
  return {};
}

Result<void> clean_up(const std::string& directory) {
  std::string text = read_small_file(directory + "/mark").value_or("");
  auto value = parse_json(text);
  if (value && value->is_object()) {
    const json::object& mark = value->get_object();
    auto process = static_cast<pid_t>(get_int(mark, "process"));
    auto started = static_cast<std::uint64_t>(get_int(mark, "started"));
    bool same_boot = get_string(mark, "boot") == boot_id();
    if (process > 0 && started > 0 && same_boot && !end_process(process, started))
      return left(fmt::format("the process {}", process));
    std::vector<std::string> groups;
    for (const json::value& group : get_array(mark, "groups")) {
      if (group.is_string()) groups.emplace_back(as_view(group.get_string()));
    }
    if (!remove_group(Cgroup(groups)))
      return left(fmt::format("the control group {}", fmt::join(groups, ", ")));
  }
  std::error_code error;
  fs::remove_all(directory, error);
  if (error) return left(fmt::format("{}: {}", directory, error.message()));
  return {};
}

Result<int> clean_up_all(const std::string& parent) {
  int found = 0;
  std::error_code error;
  for (const auto& each : fs::directory_iterator(parent, error)) {
    if (!each.is_directory(error)) continue;
    TRY_VOID(clean_up(each.path()));
    ++found;
  }
  if (error) return fail(ErrorCode::kUnavailable, fmt::format("{}: {}", parent, error.message()));
  return found;
}

}  // namespace perdure::executor::native
