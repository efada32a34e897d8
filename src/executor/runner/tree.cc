#include "executor/runner/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "executor/runner/descriptor.h"
#include "executor/runner/limits.h"

namespace perdure::executor::runner {
namespace {

constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr std::size_t kAnyNumber = 1 << 20;

int remove_below(int parent, const std::string& name, int depth) {
  if (depth > kMaxTreeDepth) return ENAMETOOLONG;
  Descriptor directory(::openat(parent, name.c_str(), kOpenDirectory));
  if (!directory) return errno;
  auto names = names_in(directory.get(), kAnyNumber);
  if (!names) return names.error();
  for (const std::string& each : *names) {
    if (::unlinkat(directory.get(), each.c_str(), 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR) return errno;
    if (int error = remove_below(directory.get(), each, depth + 1)) return error;
  }
  return ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 ? 0 : errno;
}

int copy_bytes(int from, int to) {
  char buffer[64 << 10];
  while (true) {
    ssize_t got = ::read(from, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0 ? 0 : errno;
    for (ssize_t at = 0; at < got;) {
      ssize_t put = ::write(to, buffer + at, static_cast<std::size_t>(got - at));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return errno;
      at += put;
    }
  }
}

int copy_file(int from_parent, const std::string& from, int to_parent, const std::string& to) {
  Descriptor source(
      ::openat(from_parent, from.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status{};
  if (!source || ::fstat(source.get(), &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EINVAL;
  Descriptor target(::openat(to_parent, to.c_str(),
                             O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  struct stat there{};
  if (!target || ::fstat(target.get(), &there) != 0) return errno;
  if (!S_ISREG(there.st_mode)) return EINVAL;
  if (there.st_dev == status.st_dev && there.st_ino == status.st_ino) return EINVAL;
  if (::ftruncate(target.get(), 0) != 0) return errno;
  if (int error = copy_bytes(source.get(), target.get())) return error;
  return ::fchmod(target.get(), status.st_mode & 0777) == 0 ? 0 : errno;
}

int copy_link(int from_parent, const std::string& from, int to_parent, const std::string& to) {
  char text[4096];
  ssize_t length = ::readlinkat(from_parent, from.c_str(), text, sizeof text - 1);
  if (length < 0) return errno;
  text[length] = '\0';
  return ::symlinkat(text, to_parent, to.c_str()) == 0 ? 0 : errno;
}

struct Identity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const Identity&) const = default;
};

/// `made`: the copy's own top directory, which may appear below the source.
int copy_below(int from_parent, const std::string& from, int to_parent, const std::string& to,
               Identity* made, int depth) {
  struct stat status{};
  if (depth > kMaxTreeDepth) return ENAMETOOLONG;
  if (::fstatat(from_parent, from.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return errno;
  if (S_ISLNK(status.st_mode)) return copy_link(from_parent, from, to_parent, to);
  if (S_ISREG(status.st_mode)) return copy_file(from_parent, from, to_parent, to);
  if (!S_ISDIR(status.st_mode)) return EINVAL;
  if (Identity{status.st_dev, status.st_ino} == *made) return ELOOP;
  if (::mkdirat(to_parent, to.c_str(), 0700) != 0 && errno != EEXIST) return errno;
  Descriptor source(::openat(from_parent, from.c_str(), kOpenDirectory));
  if (!source) return errno;
  Descriptor target(::openat(to_parent, to.c_str(), kOpenDirectory));
  struct stat there{};
  if (!target || ::fstat(target.get(), &there) != 0) return errno;
  if (there.st_dev == status.st_dev && there.st_ino == status.st_ino) return ELOOP;
  if (depth == 0) *made = {there.st_dev, there.st_ino};
  auto names = names_in(source.get(), kAnyNumber);
  if (!names) return names.error();
  for (const std::string& each : *names) {
    if (int error = copy_below(source.get(), each, target.get(), each, made, depth + 1))
      return error;
  }
  return ::fchmod(target.get(), status.st_mode & 0777) == 0 ? 0 : errno;
}

bool visit_below(int directory, const std::string& prefix, int depth, std::size_t& left,
                 const std::function<bool(const std::string&, int)>& visit) {
  auto names = names_in(directory, kAnyNumber);
  if (!names || depth > kMaxTreeDepth) return false;
  std::ranges::sort(*names);
  for (const std::string& name : *names) {
    struct stat status{};
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISDIR(status.st_mode)) {
      Descriptor below(::openat(directory, name.c_str(), kOpenDirectory));
      if (below && !visit_below(below.get(), prefix + name + "/", depth + 1, left, visit))
        return false;
    } else if (S_ISREG(status.st_mode)) {
      if (left-- == 0) return false;
      Descriptor file(
          ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (file && !visit(prefix + name, file.get())) return false;
    }
  }
  return true;
}

}  // namespace

std::expected<std::vector<std::string>, int> names_in(int directory, std::size_t most) {
  // An own descriptor: fdopendir takes what it is given, and its position.
  int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return std::unexpected(errno);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy), ::closedir);
  if (!stream) {
    ::close(copy);
    return std::unexpected(ENOMEM);
  }
  std::vector<std::string> names;
  while (dirent* each = ::readdir(stream.get())) {
    std::string name = each->d_name;
    if (name == "." || name == "..") continue;
    if (names.size() == most) return std::unexpected(E2BIG);
    names.push_back(std::move(name));
  }
  return names;
}

int remove_tree(int parent, const std::string& name, bool recursive) {
  if (::unlinkat(parent, name.c_str(), 0) == 0) return 0;
  if (errno != EISDIR) return errno;
  if (recursive) return remove_below(parent, name, 0);
  return ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 ? 0 : errno;
}

int copy_tree(int from_parent, const std::string& from, int to_parent, const std::string& to,
              bool recursive) {
  struct stat status{};
  if (::fstatat(from_parent, from.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return errno;
  if (S_ISDIR(status.st_mode) && !recursive) return EISDIR;
  Identity made;
  return copy_below(from_parent, from, to_parent, to, &made, 0);
}

bool each_file(int directory, std::size_t most,
               const std::function<bool(const std::string&, int)>& visit) {
  return visit_below(directory, "", 0, most, visit);
}

}  // namespace perdure::executor::runner
