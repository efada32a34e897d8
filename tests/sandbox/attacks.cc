// perdure-attacks: what a program in a sandbox might try, one attack a name.
//
//   perdure-attacks NAME   exit status 0: the attack worked, 1: it was refused, 2: there is no such
//   attack,
//                          3: it cannot be tried here (its oracle then proves nothing)
//
// Run by escapes_test.cc twice: in a sandbox, where it must be refused, and outside, where it must
// work: else the test would prove nothing. Everything is harmless: what an attack changes is its
// own, or set to what it was; nothing is sent but to listeners of the test on loopback; addresses
// that must not be reached are dialled only where a look at the interfaces shows that there is
// nothing but loopback.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int kWorked = 0, kRefused = 1, kUnknown = 2, kNotHere = 3;

int worked_if(bool worked) {
  if (!worked) std::printf("%s\n", std::strerror(errno));
  return worked ? kWorked : kRefused;
}

int call(long result) {
  return worked_if(result >= 0);
}

/// A child that waits to be attacked, and ends with us.
pid_t victim() {
  pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) ::pause();
  }
  return child;
}

int with_victim(bool (*attack)(pid_t)) {
  pid_t child = victim();
  errno = 0;
  bool worked = attack(child);
  int error = errno;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, __WALL);
  errno = error;
  return worked_if(worked);
}

bool can_open(const char* path, int flags) {
  int file = ::open(path, flags | O_CLOEXEC | O_NONBLOCK);
  if (file >= 0) ::close(file);
  return file >= 0;
}

int can_read(const char* path) {
  char byte = 0;
  int file = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool read = file >= 0 && ::read(file, &byte, 1) == 1;
  if (file >= 0) ::close(file);
  return worked_if(read);
}

/// In a child: what it does to namespaces is gone with it.
int in_child(bool (*attack)()) {
  pid_t child = ::fork();
  if (child == 0) {
    errno = 0;
    int status = worked_if(attack());
    std::fflush(stdout);
    ::_exit(status);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kRefused;
}

int socket_of(int family, int type, int protocol = 0) {
  return call(::socket(family, type | SOCK_CLOEXEC, protocol));
}

/// Whether every interface is a loopback: then nothing that is sent can leave.
bool only_loopback() {
  std::ifstream devices("/proc/net/dev");
  std::string line;
  std::getline(devices, line);
  std::getline(devices, line);
  bool only = devices.good() || devices.eof();
  while (std::getline(devices, line)) {
    std::size_t start = line.find_first_not_of(' ');
    if (start != std::string::npos && line.substr(start, 3) != "lo:") only = false;
  }
  return only;
}

int dial(const char* address, int port, int type) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address, &where.sin_addr);
  int socket = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  int result = ::connect(socket, reinterpret_cast<sockaddr*>(&where), sizeof where);
  if (result == 0 && type == SOCK_DGRAM) result = ::send(socket, "x", 1, 0) == 1 ? 0 : -1;
  return call(result);
}

/// The stand-in: in a network namespace of its own the loopback interface answers for the address.
bool reach_a_stand_in(const char* address, int type) {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  ::ioctl(socket, SIOCGIFFLAGS, &request);
  request.ifr_flags |= IFF_UP;
  if (::ioctl(socket, SIOCSIFFLAGS, &request) != 0) return false;
  std::strcpy(request.ifr_name, "lo:1");
  auto* where = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
  std::memset(where, 0, sizeof *where);
  where->sin_family = AF_INET;
  ::inet_pton(AF_INET, address, &where->sin_addr);
  if (::ioctl(socket, SIOCSIFADDR, &request) != 0) return false;
  sockaddr_in here = *where;
  here.sin_port = htons(type == SOCK_STREAM ? 80 : 53);
  int listener = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0) return false;
  if (type == SOCK_STREAM && ::listen(listener, 1) != 0) return false;
  return dial(address, ntohs(here.sin_port), type) == kWorked;
}

/// With "--stand-in" first the address is one that we made; else it is dialled only where it cannot
/// leave.
bool stand_in = false;
int reach(const char* address, int type) {
  if (stand_in) return worked_if(reach_a_stand_in(address, type));
  if (!only_loopback()) {
    std::puts("there are interfaces that lead out; not tried");
    return kWorked;
  }
  return dial(address, type == SOCK_STREAM ? 80 : 53, type);
}

int abstract_socket(const char* name) {
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  std::strncpy(where.sun_path + 1, name, sizeof where.sun_path - 2);
  int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return call(::connect(socket, reinterpret_cast<sockaddr*>(&where),
                        static_cast<socklen_t>(sizeof(sa_family_t) + 1 + std::strlen(name))));
}

/// How many children can live at once, up to `most`.
long count_children(long most) {
  std::vector<pid_t> children;
  for (long i = 0; i < most; ++i) {
    pid_t child = victim();
    if (child < 0) break;
    children.push_back(child);
  }
  for (pid_t child : children) ::kill(child, SIGKILL);
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
  return static_cast<long>(children.size());
}

int fill(const char* directory, long megabytes) {
  std::string path = std::string(directory) + "/filler", block(1 << 20, 'x');
  int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ::signal(SIGXFSZ, SIG_IGN);
  long written = 0;
  while (file >= 0 && written < megabytes &&
         ::write(file, block.data(), block.size()) == static_cast<ssize_t>(block.size()))
    ++written;
  int error = errno;
  ::unlink(path.c_str());
  errno = error;
  return worked_if(written == megabytes);
}

int make_files(const char* directory, long most) {
  long made = 0;
  auto name = [&](long i) { return std::string(directory) + "/inode-" + std::to_string(i); };
  while (made < most && ::mknod(name(made).c_str(), S_IFREG | 0600, 0) == 0) ++made;
  int error = errno;
  for (long i = 0; i < made; ++i) ::unlink(name(i).c_str());
  errno = error;
  return worked_if(made == most);
}

int use_memory(long megabytes) {
  pid_t child = ::fork();
  if (child == 0) {
    auto size = static_cast<std::size_t>(megabytes) << 20;
    void* memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) ::_exit(kRefused);
    std::memset(memory, 1, size);
    ::_exit(kWorked);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kRefused;
}

#if defined(__x86_64__)
/// getpid by the 32-bit table, whose numbers mean other calls.
bool call_other_table() {
  long result = 0;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(20)
                   : "memory", "rcx", "r11", "r8", "r9", "r10");
  return result > 0;
}
#endif

bool read_memory_of(pid_t process) {
  std::string path = "/proc/" + std::to_string(process) + "/mem";
  return can_open(path.c_str(), O_RDONLY);
}

int attack(std::string_view name, const char* argument) {
  long number = std::strtol(argument, nullptr, 10);
  // --- the kernel's large doors
  if (name == "mount") {
    return in_child([] {
      if (stand_in && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
      return ::mount("x", "/tmp", "tmpfs", 0, "size=4k") == 0;
    });
  }
  if (name == "remount") {
    return in_child([] {
      if (stand_in && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
      const char* path = stand_in ? "/tmp" : "/usr";
      if (stand_in && ::mount("x", path, "tmpfs", MS_RDONLY, "size=4k") != 0) return false;
      return ::mount(nullptr, path, nullptr, MS_REMOUNT, nullptr) == 0;
    });
  }
  if (name == "umount") {
    return in_child([] {
      if (stand_in && (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
                       ::mount("x", "/tmp", "tmpfs", 0, "size=4k") != 0))
        return false;
      return ::umount2("/tmp", MNT_DETACH) == 0;
    });
  }
  if (name == "fsopen")
    return in_child([] {
      if (stand_in && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
      return ::syscall(SYS_fsopen, "tmpfs", 0) >= 0;
    });
  if (name == "unshare-user") return in_child([] { return ::unshare(CLONE_NEWUSER) == 0; });
  if (name == "unshare-net")
    return in_child([] { return ::unshare((stand_in ? CLONE_NEWUSER : 0) | CLONE_NEWNET) == 0; });
  if (name == "clone-user")
    return in_child([] {
      pid_t child = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
      if (child == 0) ::_exit(0);
      return child > 0;
    });
  if (name == "clone3-user")
    return in_child([] {
      clone_args arguments{};
      arguments.flags = CLONE_NEWUSER;
      arguments.exit_signal = SIGCHLD;
      long child = ::syscall(SYS_clone3, &arguments, sizeof arguments);
      if (child == 0) ::_exit(0);
      return child > 0;
    });
  if (name == "setns")
    return in_child([] {
      if (stand_in && ::unshare(CLONE_NEWUSER) != 0) return false;
      if (stand_in && ::unshare(CLONE_NEWUTS) != 0) return false;
      int space = ::open(stand_in ? "/proc/self/ns/uts" : "/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
      return space >= 0 && ::setns(space, 0) == 0;
    });
  if (name == "chroot")
    return in_child([] {
      if (stand_in && ::unshare(CLONE_NEWUSER) != 0) return false;
      return ::chroot("/tmp") == 0;
    });
  if (name == "sethostname")
    return in_child([] {
      if (stand_in && ::unshare(CLONE_NEWUSER | CLONE_NEWUTS) != 0) return false;
      return ::sethostname("evil", 4) == 0;
    });
  if (name == "io-uring") {
    io_uring_params parameters{};
    return call(::syscall(SYS_io_uring_setup, 1, &parameters));
  }
  if (name == "bpf") {
    bpf_attr attributes{};
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = attributes.value_size = 4;
    attributes.max_entries = 1;
    return call(::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
  }
  if (name == "perf") {
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_SW_CPU_CLOCK;
    attributes.exclude_kernel = 1;
    return call(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
  }
  if (name == "userfaultfd") return call(::syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY));
  if (name == "keyring")
    return call(::syscall(SYS_add_key, "user", "perdure-test", "x", 1, KEY_SPEC_PROCESS_KEYRING));
  if (name == "keyctl")
    return call(::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
  if (name == "personality") return call(::personality(ADDR_NO_RANDOMIZE));
  if (name == "seccomp-listen") return worked_if(::syscall(SYS_seccomp, 2, 0, &number) == 0);
  if (name == "memfd-secret") return call(::syscall(SYS_memfd_secret, 0));
  if (name == "clock") {
    timex nothing{};
    nothing.modes = ADJ_SETOFFSET;  // by nothing
    return call(::syscall(SYS_clock_adjtime, CLOCK_REALTIME, &nothing));
  }
  if (name == "handle") {
    char room[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
    auto* handle = reinterpret_cast<file_handle*>(room);
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount = 0;
    return call(::name_to_handle_at(AT_FDCWD, "/usr", handle, &mount, 0));
  }
#if defined(__x86_64__)
  if (name == "other-table") return in_child([] { return call_other_table(); });
#endif

  // --- other processes
  if (name == "ptrace")
    return with_victim([](pid_t child) { return ::ptrace(PTRACE_SEIZE, child, 0, 0) == 0; });
  if (name == "read-process")
    return with_victim([](pid_t child) {
      char here = 0;
      iovec local{&here, 1}, remote{reinterpret_cast<void*>(&victim), 1};
      return ::process_vm_readv(child, &local, 1, &remote, 1, 0) == 1;
    });
  if (name == "steal-descriptor")
    return with_victim([](pid_t child) {
      int handle = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
      return ::syscall(SYS_pidfd_getfd, handle, 0, 0) >= 0;
    });
  if (name == "kcmp")
    return with_victim(
        [](pid_t child) { return ::syscall(SYS_kcmp, ::getpid(), child, 0, 0, 0) >= 0; });
  if (name == "parent-memory") return worked_if(read_memory_of(stand_in ? ::getpid() : 1));
  if (name == "parent-descriptors")
    return worked_if(can_open(stand_in ? "/proc/self/fd" : "/proc/1/fd", O_RDONLY | O_DIRECTORY));
  if (name == "parent-environment")
    return worked_if(can_open(stand_in ? "/proc/self/environ" : "/proc/1/environ", O_RDONLY));
  if (name == "parent-program")
    return worked_if(can_open(stand_in ? "/proc/self/exe" : "/proc/1/exe", O_RDONLY));
  if (name == "kill") return call(::kill(static_cast<pid_t>(number), 0));
  if (name == "kill-init") {
    ::kill(1, SIGKILL);
    ::kill(1, SIGSEGV);
    ::usleep(20'000);
    return kRefused;  // that we can say so shows that it lives
  }
  if (name == "affinity") {
    cpu_set_t all;
    std::memset(&all, 0xFF, sizeof all);
    return call(::sched_setaffinity(0, sizeof all, &all));
  }
  if (name == "raise-limit") {
    rlimit limit{};
    ::getrlimit(RLIMIT_NPROC, &limit);
    if (limit.rlim_max == RLIM_INFINITY) return kWorked;
    limit.rlim_cur = limit.rlim_max = limit.rlim_max + 1;
    return call(::setrlimit(RLIMIT_NPROC, &limit));
  }
  if (name == "realtime") {
    sched_param parameter{1};
    int result = ::sched_setscheduler(0, SCHED_FIFO, &parameter);
    sched_param usual{0};
    if (result == 0) ::sched_setscheduler(0, SCHED_OTHER, &usual);
    return call(result);
  }
  if (name == "nice") return call(::setpriority(PRIO_PROCESS, 0, -5));

  // --- files
  if (name == "read") return can_read(argument);
  if (name == "open-write") return worked_if(can_open(argument, O_WRONLY));
  if (name == "exists") return worked_if(::access(argument, F_OK) == 0);
  if (name == "create") {
    int file = ::open(argument, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file >= 0) ::unlink(argument);
    return call(file);
  }
  if (name == "mknod") {
    std::string path = std::string(argument) + "/device";
    int result = ::mknod(path.c_str(), S_IFCHR | 0600, 0x0103);
    ::unlink(path.c_str());
    return call(result);
  }
  if (name == "hard-link") {
    std::string path = std::string(argument) + "/linked";
    const char* from = stand_in ? "/proc/self/exe" : "/usr/bin/env";
    char real[4096] = {};
    if (stand_in && ::readlink(from, real, sizeof real - 1) < 0) return kNotHere;
    int result = ::link(stand_in ? real : from, path.c_str());
    ::unlink(path.c_str());
    return call(result);
  }
  if (name == "set-uid") {
    std::ifstream mounts("/proc/self/mounts");
    std::string line;
    bool possible = false;  // anything where a set-uid program would be honoured
    while (std::getline(mounts, line)) {
      bool device = line.find(" proc ") != line.npos || line.find("devpts") != line.npos;
      if (!device && line.find("nosuid") == line.npos) possible = true;
    }
    return worked_if(possible && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
  }
  if (name == "capabilities") {
    std::ifstream status("/proc/self/status");
    std::string line;
    bool any = false;
    while (std::getline(status, line)) {
      if (line.starts_with("Cap") && line.find_first_not_of("0", line.find('\t') + 1) != line.npos)
        any = true;
    }
    return worked_if(any);
  }

  // --- the network
  if (name == "vsock") return socket_of(AF_VSOCK, SOCK_STREAM);
  if (name == "packet") return socket_of(AF_PACKET, SOCK_DGRAM);
  if (name == "algorithm") return socket_of(AF_ALG, SOCK_SEQPACKET);
  if (name == "netlink") return socket_of(AF_NETLINK, SOCK_RAW);
  if (name == "raw") return socket_of(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  if (name == "high-bits")
    return call(::syscall(SYS_socket, (1ULL << 32) | AF_NETLINK, SOCK_RAW, 0));
  if (name == "abstract") return abstract_socket(argument);
  if (name == "tcp") return dial("127.0.0.1", static_cast<int>(number), SOCK_STREAM);
  if (name == "metadata")
    return in_child([] { return reach("169.254.169.254", SOCK_STREAM) == 0; });
  if (name == "dns") return in_child([] { return reach("192.0.2.53", SOCK_DGRAM) == 0; });
  if (name == "interface")
    return in_child([] {
      if (stand_in && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
      ifreq request{};
      std::strcpy(request.ifr_name, "lo");
      int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      ::ioctl(socket, SIOCGIFFLAGS, &request);
      return ::ioctl(socket, SIOCSIFFLAGS, &request) == 0;
    });
  if (name == "terminal-input") {
    int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
    ::unlockpt(terminal);
    ::setsid();
    int ours = ::ioctl(terminal, TIOCGPTPEER, O_RDWR);
    ::ioctl(ours, TIOCSCTTY, 0);
    char byte = 'x';
    return call(::ioctl(ours, TIOCSTI, &byte));
  }

  // --- too much of something; in the sandbox its limits stop it, outside `argument` does
  if (name == "processes") return worked_if(count_children(number) == number);
  if (name == "memory") return use_memory(number);
  if (name == "fill-home") return fill("/workspace", number);
  if (name == "fill-tmp") return fill(".", number);
  if (name == "inodes") return make_files(".", number);
  if (name == "descriptors") {
    long count = 0;
    while (count < number && ::dup(0) >= 0) ++count;
    return worked_if(count == number);
  }
  return kUnknown;
}

}  // namespace

int main(int argc, char** argv) {
  int first = 1;
  if (argc > first && std::strcmp(argv[first], "--stand-in") == 0) {
    stand_in = true;
    ++first;
  }
  if (argc <= first) return kUnknown;
  int status = attack(argv[first], argc > first + 1 ? argv[first + 1] : "");
  std::fflush(stdout);
  return status;
}
