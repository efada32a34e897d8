#include "executor/runner/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "executor/runner/descriptor.h"

// Of newer headers than those of Debian 12's C library.
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

namespace perdure::executor::runner {
namespace {

/// Where the new root is built: every host has it, and nothing of the host's is bound from it.
constexpr const char* kBuildingSite = "/tmp";

std::string failed(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

bool set_attributes(const char* path, std::uint64_t set, std::uint64_t clear = 0,
                    bool recursive = false) {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  return ::syscall(SYS_mount_setattr, AT_FDCWD, path, recursive ? AT_RECURSIVE : 0, &attributes,
                   sizeof attributes) == 0;
}

mode_t mode_of(const std::string& text) {
  return static_cast<mode_t>(std::strtoul(text.c_str(), nullptr, 8));
}

/// Makes the directories that lead to a relative path.
void make_parents(const std::string& path) {
  for (std::size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1))
    ::mkdir(path.substr(0, slash).c_str(), 0755);
}

std::string make_file(const std::string& path, mode_t mode, const std::string& content) {
  make_parents(path);
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file ||
      ::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
      ::fchmod(file.get(), mode) != 0)
    return failed("make " + path);
  return "";
}

std::string new_root(const std::string& size, const std::string& inodes) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return failed("make mounts private");
  std::string options = "size=" + size + ",nr_inodes=" + inodes + ",mode=755";
  if (::mount("perdure", kBuildingSite, "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return failed("mount the new root");
  return ::chdir(kBuildingSite) == 0 ? "" : failed("enter the new root");
}

std::string mount_tmpfs(const PlanStep& step) {
  make_parents(step[1]);
  ::mkdir(step[1].c_str(), 0755);
  std::string options = "size=" + step[2] + ",nr_inodes=" + step[3] + ",mode=" + step[4];
  if (::mount("perdure", step[1].c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return failed("mount " + step[1]);
  return "";
}

std::string bind(const std::string& source, const std::string& path) {
  struct stat status{};
  if (::stat(source.c_str(), &status) != 0) return failed("look at " + source);
  make_parents(path);
  if (S_ISDIR(status.st_mode)) {
    ::mkdir(path.c_str(), 0755);
  } else if (std::string error = make_file(path, 0444, ""); !error.empty()) {
    return error;
  }
  // With what is mounted below: in a user namespace nothing that is covered may be laid open.
  if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
    return failed("bind " + source);
  if (!set_attributes(path.c_str(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0,
                      S_ISDIR(status.st_mode)))
    return failed("make " + path + " read-only");
  return "";
}

std::string bind_device(const std::string& name) {
  std::string path = "dev/" + name, source = "/dev/" + name;
  if (std::string error = make_file(path, 0666, ""); !error.empty()) return error;
  if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return failed("bind " + source);
  return set_attributes(path.c_str(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
             ? ""
             : failed("restrict " + path);
}

std::string mount_proc() {
  ::mkdir("proc", 0555);
  if (::mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return failed("mount proc");
  return "";
}

std::string mount_devpts() {
  ::mkdir("dev/pts", 0755);
  if (::mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=0620,max=64") != 0)
    return failed("mount devpts");
  return ::symlink("pts/ptmx", "dev/ptmx") == 0 ? "" : failed("make dev/ptmx");
}

/// Covers a file or a directory with an empty one; what does not exist needs no cover.
std::string mask(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return errno == ENOENT ? "" : failed("look at " + path);
  int result =
      S_ISDIR(status.st_mode)
          ? ::mount("perdure", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
                    "size=4k,nr_inodes=2,mode=555")
          : ::mount("dev/null", path.c_str(), nullptr, MS_BIND, nullptr);
  return result == 0 ? "" : failed("cover " + path);
}

std::string make_read_only(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return errno == ENOENT ? "" : failed("look at " + path);
  if (::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      !set_attributes(path.c_str(), MOUNT_ATTR_RDONLY))
    return failed("make " + path + " read-only");
  return "";
}

std::string enter() {
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return failed("change the root");
  if (::umount2(".", MNT_DETACH) != 0) return failed("leave the old root");
  if (!set_attributes("/", MOUNT_ATTR_RDONLY)) return failed("make the root read-only");
  if (!set_attributes("/dev", MOUNT_ATTR_RDONLY)) return failed("make /dev read-only");
  if (::chdir("/") != 0) return failed("enter the new root");
  // The ones we were started with belong to the host.
  for (int number = 0; number < 3; ++number) {
    Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null || ::dup2(null.get(), number) < 0) return failed("open /dev/null");
    if (null.get() == number) (void)null.release();
  }
  return "";
}

std::string start_loopback() {
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (!socket || ::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0)
    return failed("look at the loopback interface");
  request.ifr_flags |= IFF_UP;
  return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0
             ? ""
             : failed("start the loopback interface");
}

}  // namespace

std::string carry_out_mount(const PlanStep& step) {
  auto is = [&](std::string_view word, std::size_t arguments) {
    return step[0] == word && step.size() == arguments + 1;
  };
  if (is("hostname", 1))
    return ::sethostname(step[1].data(), step[1].size()) == 0 ? "" : failed("set the host name");
  if (is("loopback", 0)) return start_loopback();
  if (is("root", 2)) return new_root(step[1], step[2]);
  if (is("directory", 2)) {
    make_parents(step[1]);
    return ::mkdir(step[1].c_str(), mode_of(step[2])) == 0 || errno == EEXIST
               ? ""
               : failed("make " + step[1]);
  }
  if (is("symlink", 2)) {
    make_parents(step[2]);
    return ::symlink(step[1].c_str(), step[2].c_str()) == 0 ? "" : failed("link " + step[2]);
  }
  if (is("file", 3)) return make_file(step[1], mode_of(step[2]), step[3]);
  if (is("tmpfs", 4)) return mount_tmpfs(step);
  if (is("bind", 2)) return bind(step[1], step[2]);
  if (is("device", 1)) return bind_device(step[1]);
  if (is("proc", 0)) return mount_proc();
  if (is("devpts", 0)) return mount_devpts();
  if (is("mask", 1)) return mask(step[1]);
  if (is("readonly", 1)) return make_read_only(step[1]);
  if (is("enter", 0)) return enter();
  return std::string(kNotMine);
}

}  // namespace perdure::executor::runner
