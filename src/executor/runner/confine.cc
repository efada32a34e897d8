#include "executor/runner/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "executor/runner/descriptor.h"
#include "executor/runner/mounts.h"

namespace perdure::executor::runner {
namespace {

std::string failed(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

// --- ids and limits ------------------------------------------------------------------------------

std::string take_ids(const PlanStep& step) {
  // Changing them must cost neither the capabilities for the mounts …
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS) != 0)
    return failed("keep capabilities");
  auto uid = static_cast<uid_t>(std::strtoul(step[1].c_str(), nullptr, 10));
  auto gid = static_cast<gid_t>(std::strtoul(step[3].c_str(), nullptr, 10));
  // … nor leave an id of the host anywhere. Raw, because libc's would ask threads to do the same.
  if (::syscall(SYS_setresgid, gid, gid, gid) != 0) return failed("take the group");
  if (::syscall(SYS_setresuid, uid, uid, uid) != 0) return failed("take the user");
  return "";
}

std::string set_limit(const PlanStep& step) {
  static constexpr struct {
    std::string_view name;
    int resource;
  } kNames[] = {
      {"processes", RLIMIT_NPROC},    {"files", RLIMIT_NOFILE},    {"file-size", RLIMIT_FSIZE},
      {"core", RLIMIT_CORE},          {"locked", RLIMIT_MEMLOCK},  {"queues", RLIMIT_MSGQUEUE},
      {"signals", RLIMIT_SIGPENDING}, {"realtime", RLIMIT_RTPRIO}, {"nice", RLIMIT_NICE}};
  for (const auto& each : kNames) {
    if (each.name != step[1]) continue;
    rlimit limit{std::strtoull(step[2].c_str(), nullptr, 10),
                 std::strtoull(step[3].c_str(), nullptr, 10)};
    rlimit old{};
    ::getrlimit(static_cast<__rlimit_resource>(each.resource), &old);
    limit.rlim_max = std::min(limit.rlim_max, old.rlim_max);
    limit.rlim_cur = std::min(limit.rlim_cur, limit.rlim_max);
    return ::setrlimit(static_cast<__rlimit_resource>(each.resource), &limit) == 0
               ? ""
               : failed("limit " + step[1]);
  }
  return "unknown limit " + step[1];
}

std::string take_cpus(const PlanStep& step) {
  cpu_set_t allowed, chosen;
  CPU_ZERO(&chosen);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return failed("ask for processors");
  long wanted = std::strtol(step[1].c_str(), nullptr, 10);
  // Not always the first ones: sandboxes would share them.
  int start = static_cast<int>(std::strtol(step[2].c_str(), nullptr, 10) % CPU_SETSIZE);
  for (int i = 0; i < CPU_SETSIZE && wanted > 0; ++i) {
    int cpu = (start + i) % CPU_SETSIZE;
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_SET(cpu, &chosen);
    --wanted;
  }
  return ::sched_setaffinity(0, sizeof chosen, &chosen) == 0 ? "" : failed("limit processors");
}

// --- Landlock ------------------------------------------------------------------------------------

// Rights of later versions than the headers of Debian 12 know.
constexpr std::uint64_t kTruncate = 1ULL << 14, kDeviceIoctl = 1ULL << 15;
constexpr std::uint64_t kScopeAbstractSockets = 1, kScopeSignals = 2;

struct RulesetAttributes {
  std::uint64_t handled_fs = 0, handled_net = 0, scoped = 0;
};

std::uint64_t all_rights(int version) {
  std::uint64_t rights = (1ULL << 13) - 1;
  if (version >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) rights |= kTruncate;
  if (version >= 5) rights |= kDeviceIoctl;
  return rights;
}

std::uint64_t rights_of(const std::string& word) {
  constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  constexpr std::uint64_t kDevices = LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;
  if (word == "r") return kRead;
  if (word == "x") return kRead | LANDLOCK_ACCESS_FS_EXECUTE;
  if (word == "p") return kRead | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;
  if (word == "d") return kRead | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate | kDeviceIoctl;
  if (word == "w") return ~kDevices & ~kDeviceIoctl;
  return 0;
}

std::string restrict_paths(const PlanStep& step) {
  int version = landlock_version();
  if (version < 1) return "the kernel has no Landlock";
  RulesetAttributes attributes;
  attributes.handled_fs = all_rights(version);
  if (version >= 6) attributes.scoped = kScopeAbstractSockets | kScopeSignals;
  // An older kernel takes the longer structure as long as what it does not know is zero.
  Descriptor ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!ruleset) return failed("make Landlock rules");
  for (std::size_t i = 1; i + 1 < step.size(); i += 2) {
    Descriptor path(::open(step[i].c_str(), O_PATH | O_CLOEXEC));
    if (!path) return failed("Landlock for " + step[i]);
    landlock_path_beneath_attr rule{};
    rule.allowed_access = rights_of(step[i + 1]) & all_rights(version);
    struct stat status{};
    if (::fstat(path.get(), &status) == 0 && !S_ISDIR(status.st_mode))
      rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                             LANDLOCK_ACCESS_FS_EXECUTE | kTruncate | kDeviceIoctl;
    rule.parent_fd = path.get();
    if (::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
      return failed("Landlock for " + step[i]);
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("set no_new_privs");
  return ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0 ? ""
                                                                      : failed("enter Landlock");
}

// --- the last steps ------------------------------------------------------------------------------

std::string drop_capabilities() {
  for (int capability = 0; capability < 64; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL)
      return failed("give up capability " + std::to_string(capability));
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                     SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED) != 0)
    return failed("lock capabilities");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  return ::syscall(SYS_capset, &header, none) == 0 ? "" : failed("give up capabilities");
}

std::string filter_calls(const PlanStep& step) {
  if (std::string error = drop_capabilities(); !error.empty()) return error;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("set no_new_privs");
  // Neither its memory nor its descriptors can be had through /proc by who runs as the same user.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("become invisible");
  // After the ids: changing those forgets it. The server has also our control socket's other end.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return failed("be bound to the server");
  for (std::size_t i = 1; i < step.size(); ++i) {
    sock_fprog program{};
    program.len = static_cast<unsigned short>(step[i].size() / sizeof(sock_filter));
    program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(step[i].data()));
    if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
      return failed("filter system calls");
  }
  return "";
}

}  // namespace

int landlock_version() {
  long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version < 0 ? 0 : static_cast<int>(version);
}

std::string carry_out_confinement(const PlanStep& step) {
  if (step[0] == "ids" && step.size() == 5) return take_ids(step);
  if (step[0] == "limit" && step.size() == 4) return set_limit(step);
  if (step[0] == "cpus" && step.size() == 3) return take_cpus(step);
  if (step[0] == "landlock" && step.size() % 2 == 1) return restrict_paths(step);
  if (step[0] == "seccomp" && step.size() > 1) return filter_calls(step);
  return std::string(kNotMine);
}

}  // namespace perdure::executor::runner
