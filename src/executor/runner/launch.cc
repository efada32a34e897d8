#include "executor/runner/launch.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "executor/runner/confine.h"
#include "executor/runner/limits.h"
#include "executor/runner/mounts.h"
#include "executor/runner/plan.h"
#include "executor/runner/server.h"

namespace perdure::executor::runner {
namespace {

void report(int channel, const std::string& line) {
  std::string text = line + "\n";
  ssize_t ignored = ::send(channel, text.data(), text.size(), MSG_NOSIGNAL);
  (void)ignored;
}

bool read_exactly(int descriptor, char* out, std::size_t length) {
  while (length > 0) {
    ssize_t got = ::read(descriptor, out, length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out += got;
    length -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_file(const std::string& path, const std::string& text) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

const PlanStep* find_step(const Plan& plan, std::string_view word, std::size_t words) {
  for (const PlanStep& step : plan) {
    if (step[0] == word && step.size() == words) return &step;
  }
  return nullptr;
}

/// In the launcher: who the init is outside.
std::string map_ids(pid_t init, const PlanStep& ids) {
  std::string directory = "/proc/" + std::to_string(init) + "/";
  // Without this an unprivileged process may not map its group.
  if (!write_file(directory + "setgroups", "deny")) return "setgroups";
  if (!write_file(directory + "uid_map", ids[1] + " " + ids[2] + " 1")) return "uid_map";
  if (!write_file(directory + "gid_map", ids[3] + " " + ids[4] + " 1")) return "gid_map";
  return "";
}

[[noreturn]] void become_init(const Plan& plan, int channel, int control) {
  auto give_up = [&](const std::string& what) {
    report(channel, "error " + what);
    ::_exit(1);
  };
  char go = 0;
  if (!read_exactly(channel, &go, 1)) ::_exit(1);  // the server has changed its mind, or is gone
  std::vector<std::string> roots;
  for (const PlanStep& step : plan) {
    if (step[0] == "serve") {
      roots.assign(step.begin() + 1, step.end());
      continue;
    }
    std::string error = carry_out_mount(step);
    if (error == kNotMine) error = carry_out_confinement(step);
    if (error == kNotMine) error = "unknown step " + step[0];
    if (!error.empty()) give_up(error);
  }
  if (roots.empty()) give_up("no place to serve");
  report(channel, "ready");
  ::close(channel);
  ::_exit(serve({control, std::move(roots)}));
}

}  // namespace

int launch(int channel, int control) {
  auto give_up = [&](const std::string& what) {
    int error = errno;
    report(channel, "error " + what + ": " + std::strerror(error));
    return 1;
  };
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::uint32_t length = 0;
  if (!read_exactly(channel, reinterpret_cast<char*>(&length), sizeof length) ||
      length > kMaxPlanBytes)
    return 1;
  std::string text(length, '\0');
  if (!read_exactly(channel, text.data(), length)) return 1;
  auto plan = decode_plan(text);
  const PlanStep* ids = plan ? find_step(*plan, "ids", 5) : nullptr;
  if (!ids) {
    report(channel, "error the plan cannot be read");
    return 1;
  }
  // Groups of root would otherwise go along: in the namespace nobody can give them up any more.
  if (::geteuid() == 0 && ::setgroups(0, nullptr) != 0) return give_up("setgroups");

  clone_args arguments{};
  arguments.flags = CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return give_up("clone3 with new namespaces");
  if (pid == 0) become_init(*plan, channel, control);
  std::string failed = map_ids(static_cast<pid_t>(pid), *ids);
  if (!failed.empty()) {
    int status = give_up(failed);
    ::kill(static_cast<pid_t>(pid), SIGKILL);
    return status;
  }
  report(channel, "pid " + std::to_string(pid));
  return 0;
}

}  // namespace perdure::executor::runner
