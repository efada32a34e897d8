#include "executor/native/seccomp_filter.h"

#include <linux/sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <sstream>

namespace perdure::executor::native {
namespace {

/// By what they are for; names that this machine does not have are skipped.
constexpr const char* kAllowed = R"(
  read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek sendfile
  sendfile64 splice tee vmsplice copy_file_range fadvise64 fadvise64_64 readahead sync_file_range
  close close_range dup dup2 dup3 fcntl fcntl64 ioctl flock fsync fdatasync sync syncfs
  open openat openat2 creat stat stat64 fstat fstat64 lstat lstat64 newfstatat fstatat64 statx
  statfs statfs64 fstatfs fstatfs64 access faccessat faccessat2 readlink readlinkat getdents
  getdents64 getcwd chdir fchdir umask truncate truncate64 ftruncate ftruncate64 fallocate
  mkdir mkdirat rmdir rename renameat renameat2 link linkat unlink unlinkat symlink symlinkat
  mknod mknodat chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 lchown lchown32
  fchownat utime utimes utimensat futimesat getxattr lgetxattr fgetxattr listxattr llistxattr
  flistxattr setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
  inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
  pipe pipe2 poll ppoll select pselect6 _newselect epoll_create epoll_create1 epoll_ctl epoll_wait
  epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime
  timerfd_gettime memfd_create
  mmap mmap2 munmap mprotect mremap madvise mincore msync mlock mlock2 munlock mlockall munlockall
  brk membarrier rseq pkey_alloc pkey_free pkey_mprotect cachestat
  clone fork vfork execve execveat exit exit_group wait4 waitid waitpid kill tkill tgkill
  pidfd_open pidfd_send_signal set_tid_address set_robust_list get_robust_list gettid getpid getppid
  getpgid getpgrp getsid setpgid setsid futex futex_time64 futex_waitv futex_wake futex_wait
  futex_requeue arch_prctl prctl set_thread_area get_thread_area restart_syscall
  rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo
  rt_sigreturn rt_sigsuspend sigaltstack sigreturn pause alarm
  getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32 getgroups getgroups32
  setuid setgid setuid32 setgid32 setreuid setregid setreuid32 setregid32 setresuid setresgid
  setresuid32 setresgid32 getresuid getresgid getresuid32 getresgid32 setfsuid setfsgid setfsuid32
  setfsgid32 capget capset
  getrlimit setrlimit ugetrlimit prlimit64 getrusage times sysinfo uname getcpu getpriority setpriority
  ioprio_get ioprio_set sched_yield sched_getaffinity sched_getparam sched_getscheduler
  sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_getattr
  sched_setscheduler sched_setparam sched_setattr
  time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep
  clock_nanosleep_time64 nanosleep getitimer setitimer timer_create timer_settime timer_gettime
  timer_getoverrun timer_delete
  socket socketpair bind listen accept accept4 connect getsockname getpeername sendto recvfrom
  sendmsg recvmsg sendmmsg recvmmsg shutdown getsockopt setsockopt
  shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl
  mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
  getrandom landlock_create_ruleset landlock_add_rule landlock_restrict_self
)";

constexpr const char* kForbidden = R"(
  mount umount umount2 pivot_root chroot unshare setns fsopen fsconfig fsmount fspick open_tree
  move_mount mount_setattr statmount listmount
  ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp
  bpf perf_event_open userfaultfd seccomp
  add_key request_key keyctl
  init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct
  quotactl quotactl_fd syslog vhangup iopl ioperm modify_ldt lookup_dcookie nfsservctl
  open_by_handle_at name_to_handle_at fanotify_init fanotify_mark
  clock_settime clock_settime64 settimeofday stime adjtimex clock_adjtime clock_adjtime64
  sethostname setdomainname setgroups setgroups32 sched_setaffinity mbind set_mempolicy
  set_mempolicy_home_node migrate_pages move_pages get_mempolicy memfd_secret
  io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents uselib
)";

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

std::unexpected<Error> failed(const char* what, int error) {
  return fail(ErrorCode::kUnavailable,
              std::string("the filter of system calls: ") + what + ": " + std::strerror(-error));
}

Result<std::string> program_of(const Filter& filter) {
  int file = ::memfd_create("seccomp", MFD_CLOEXEC);
  if (file < 0) return failed("memory", -errno);
  std::string program;
  int error = seccomp_export_bpf(filter.get(), file);
  auto size = error == 0 ? ::lseek(file, 0, SEEK_END) : 0;
  program.resize(static_cast<std::size_t>(size));
  if (error == 0 && ::pread(file, program.data(), program.size(), 0) != size) error = -EIO;
  ::close(file);
  if (error != 0) return failed("export", error);
  return program;
}

/// One rule; names that are unknown here need none.
int add(const Filter& filter, std::uint32_t action, const std::string& name,
        std::initializer_list<scmp_arg_cmp> arguments = {}) {
  int number = seccomp_syscall_resolve_name(name.c_str());
  if (number == __NR_SCMP_ERROR) return 0;
  return seccomp_rule_add_array(filter.get(), action, number,
                                static_cast<unsigned>(arguments.size()), arguments.begin());
}

Result<std::string> allowed_calls() {
  Filter filter(seccomp_init(SCMP_ACT_ERRNO(ENOSYS)));
  if (!filter) return failed("memory", -ENOMEM);
  int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  std::string name;
  for (std::istringstream names(kAllowed); error == 0 && names >> name;)
    error = add(filter, SCMP_ACT_ALLOW, name);
  for (std::istringstream names(kForbidden); error == 0 && names >> name;)
    error = add(filter, SCMP_ACT_ERRNO(EPERM), name);
  // Asking which one is set, and setting the usual one, changes nothing.
  for (std::uint64_t persona : {0ULL, 0xFFFFFFFFULL}) {
    if (error == 0)
      error = add(filter, SCMP_ACT_ALLOW, "personality", {SCMP_A0(SCMP_CMP_EQ, persona)});
  }
  if (error != 0) return failed("allowed calls", error);
  return program_of(filter);
}

Result<std::string> refused_arguments(bool memory_is_counted) {
  Filter filter(seccomp_init(SCMP_ACT_ALLOW));
  if (!filter) return failed("memory", -ENOMEM);
  int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  auto refuse = [&](int with, const char* name, scmp_arg_cmp argument) {
    if (error == 0)
      error = add(filter, SCMP_ACT_ERRNO(static_cast<std::uint32_t>(with)), name, {argument});
  };
  constexpr std::uint64_t kNewNamespaces[] = {CLONE_NEWUSER,   CLONE_NEWNS,  CLONE_NEWPID,
                                              CLONE_NEWNET,    CLONE_NEWIPC, CLONE_NEWUTS,
                                              CLONE_NEWCGROUP, CLONE_NEWTIME};
  // On s390 the flags are the second argument; this code knows x86-64 and arm64.
  for (std::uint64_t flag : kNewNamespaces)
    refuse(EPERM, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
  // Typing into a terminal for others.
  constexpr std::uint64_t kStuff = 0x5412, kLinux = 0x541C;
  refuse(EPERM, "ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xFFFFFFFFU, kStuff));
  refuse(EPERM, "ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xFFFFFFFFU, kLinux));
  // Families by name, because new ones keep coming; the kernel looks at the lower half only.
  for (const char* name : {"socket", "socketpair"}) {
    for (std::uint64_t family = 0; family <= AF_INET6; ++family) {
      bool known = family == AF_UNIX || family == AF_INET || family == AF_INET6;
      if (!known) refuse(EAFNOSUPPORT, name, SCMP_A0(SCMP_CMP_EQ, family));
    }
    refuse(EAFNOSUPPORT, name, SCMP_A0(SCMP_CMP_GT, std::uint64_t{AF_INET6}));
    refuse(EPERM, name, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xF, std::uint64_t{SOCK_RAW}));
    refuse(EPERM, name, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xF, std::uint64_t{SOCK_PACKET}));
  }
  for (std::uint64_t kind : {S_IFCHR, S_IFBLK}) {
    refuse(EPERM, "mknod", SCMP_A1(SCMP_CMP_MASKED_EQ, S_IFMT, kind));
    refuse(EPERM, "mknodat", SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT, kind));
  }
  if (!memory_is_counted) {
    for (const char* name : {"memfd_create", "shmget"}) {
      if (error == 0) error = add(filter, SCMP_ACT_ERRNO(ENOSYS), name);
    }
  }
  if (error != 0) return failed("arguments", error);
  return program_of(filter);
}

}  // namespace

Result<std::vector<std::string>> seccomp_programs(bool memory_is_counted) {
  TRY(calls, allowed_calls());
  TRY(arguments, refused_arguments(memory_is_counted));
  std::vector<std::string> programs;
  // In this order: the list of calls does not have the one that sets a filter.
  programs.push_back(std::move(arguments));
  programs.push_back(std::move(calls));
  return programs;
}

}  // namespace perdure::executor::native
