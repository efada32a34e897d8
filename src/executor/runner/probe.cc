#include "executor/runner/probe.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "executor/runner/confine.h"
#include "executor/runner/descriptor.h"

namespace perdure::executor::runner {
namespace {

constexpr std::uint64_t kNamespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                      CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

int works(const std::string& what) {
  std::puts(what.c_str());
  return 0;
}

int fails(const std::string& what) {
  int error = errno;
  std::puts((what + ": " + std::strerror(error)).c_str());
  return 1;
}

bool write_file(const std::string& path, const std::string& text) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Without ids the new namespaces could make no file.
bool map_ids(pid_t process) {
  std::string directory = "/proc/" + std::to_string(process) + "/";
  auto line = [](unsigned id) { return std::to_string(id) + " " + std::to_string(id) + " 1"; };
  return write_file(directory + "setgroups", "deny") &&
         write_file(directory + "uid_map", line(::geteuid())) &&
         write_file(directory + "gid_map", line(::getegid()));
}

/// Runs `work` as the first process of new namespaces; its answer is what it would exit with.
template <class Work>
int in_namespaces(Work work) {
  int go[2];
  if (::pipe2(go, O_CLOEXEC) != 0) return fails("a pipe");
  Descriptor waited(go[0]), told(go[1]);
  clone_args arguments{};
  arguments.flags = kNamespaces;
  arguments.exit_signal = SIGCHLD;
  long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return fails("clone3 with new namespaces");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    told.reset();
    char byte = 0;
    int status = ::read(waited.get(), &byte, 1) == 1 ? work() : 1;
    std::fflush(stdout);
    ::_exit(status);
  }
  bool mapped = map_ids(static_cast<pid_t>(pid));
  int result = mapped ? 0 : fails("map the user's id");
  if (mapped && ::write(told.get(), "g", 1) != 1) result = fails("a pipe");
  told.reset();
  int status = 0;
  ::waitpid(static_cast<pid_t>(pid), &status, 0);
  if (result != 0) return result;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int probe_mounts() {
  return in_namespaces([] {
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return fails("make mounts private");
    if (::mount("probe", "/tmp", "tmpfs", 0, "size=64k") != 0) return fails("mount in memory");
    if (::mkdir("/tmp/usr", 0755) != 0 ||
        ::mount("/usr", "/tmp/usr", nullptr, MS_BIND | MS_REC, nullptr) != 0)
      return fails("bind /usr");
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    if (::syscall(SYS_mount_setattr, AT_FDCWD, "/tmp/usr", AT_RECURSIVE, &attributes,
                  sizeof attributes) != 0)
      return fails("make it read-only (mount_setattr)");
    if (::chdir("/tmp") != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0)
      return fails("change the root");
    return works("memory file systems, read-only binds, a root of its own");
  });
}

int probe_proc() {
  return in_namespaces([] {
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return fails("make mounts private");
    if (::mount("probe", "/tmp", "tmpfs", 0, "size=64k") != 0 || ::mkdir("/tmp/proc", 0755) != 0)
      return fails("mount in memory");
    if (::mount("proc", "/tmp/proc", "proc", 0, nullptr) != 0)
      return fails("mount proc (a container that covers parts of its /proc forbids it)");
    return works("a /proc of its own");
  });
}

int probe_seccomp() {
  sock_filter allow{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  sock_fprog program{1, &allow};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fails("set no_new_privs");
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
    return fails("filter system calls");
  return works("filters can be set");
}

int probe_openat2() {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH;
  Descriptor root(::open("/", O_PATH | O_CLOEXEC));
  Descriptor found(static_cast<int>(::syscall(SYS_openat2, root.get(), "usr", &how, sizeof how)));
  return found ? works("paths are resolved beneath a directory") : fails("openat2");
}

int probe_pidfd() {
  Descriptor self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  return self ? works("processes have descriptors") : fails("pidfd_open");
}

}  // namespace

int probe(std::string_view name) {
  if (name == "namespaces") {
    return in_namespaces([] { return works("user, mount, pid, net, ipc, uts and cgroup"); });
  }
  if (name == "mounts") return probe_mounts();
  if (name == "proc") return probe_proc();
  if (name == "seccomp") return probe_seccomp();
  if (name == "openat2") return probe_openat2();
  if (name == "pidfd") return probe_pidfd();
  if (name == "landlock") {
    int version = landlock_version();
    return version > 0 ? works("version " + std::to_string(version)) : fails("landlock");
  }
  return 2;
}

}  // namespace perdure::executor::runner
