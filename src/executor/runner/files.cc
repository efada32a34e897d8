#include "executor/runner/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "executor/runner/limits.h"
#include "executor/runner/tree.h"

namespace perdure::executor::runner {
namespace {

std::unexpected<std::string> failed(std::string_view path, std::string_view what) {
  return std::unexpected(std::string(path) + ": " + std::string(what));
}

std::unexpected<std::string> failed_with(std::string_view path, int error) {
  if (error == EXDEV) return failed(path, "leads out of the workspace");
  return failed(path, std::strerror(error));
}

int open_beneath(int directory, const std::string& rest, std::uint64_t flags, std::uint64_t mode) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  int number = -1;
  // EAGAIN: something was renamed meanwhile, so that the kernel could not be sure about a "..".
  for (int attempt = 0; attempt < 32; ++attempt) {
    number = static_cast<int>(::syscall(SYS_openat2, directory, rest.c_str(), &how, sizeof how));
    if (number >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return number;
}

FileResult<std::string> read_all(int descriptor, std::string_view path, std::size_t limit) {
  std::string bytes;
  char buffer[64 << 10];
  while (true) {
    ssize_t got = ::read(descriptor, buffer, sizeof buffer);
    if (got == 0) return bytes;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed_with(path, errno);
    bytes.append(buffer, static_cast<std::size_t>(got));
    if (bytes.size() > limit)
      return failed(path, "is larger than " + std::to_string(limit) + " bytes; read it in blocks");
  }
}

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::int64_t milliseconds(const statx_timestamp& time) {
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

}  // namespace

FileResult<Files> Files::open(const std::vector<std::string>& roots) {
  Files files;
  for (const std::string& root : roots) {
    Descriptor directory(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return failed_with(root, errno);
    files.roots_.push_back({root, std::move(directory)});
  }
  return files;
}

FileResult<Files::Place> Files::place(std::string_view path) const {
  if (path.contains('\0')) return std::unexpected(std::string("a path has a zero byte"));
  for (const Root& root : roots_) {
    if (path == root.prefix) return Place{&root, "."};
    if (path.starts_with(root.prefix) && path[root.prefix.size()] == '/') {
      std::string_view rest = path.substr(root.prefix.size() + 1);
      while (rest.starts_with('/')) rest.remove_prefix(1);
      return Place{&root, rest.empty() ? std::string(".") : std::string(rest)};
    }
  }
  std::string known;
  for (const Root& root : roots_) known += (known.empty() ? "" : ", ") + root.prefix;
  return failed(path, "is not within " + known);
}

FileResult<Descriptor> Files::open_at(std::string_view path, std::uint64_t flags,
                                      std::uint64_t mode) const {
  auto where = place(path);
  if (!where) return std::unexpected(where.error());
  Descriptor file(open_beneath(where->root->directory.get(), where->rest, flags, mode));
  if (!file) return failed_with(path, errno);
  return file;
}

FileResult<Files::Entry> Files::entry(std::string_view path) const {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  auto where = place(path);
  if (!where) return std::unexpected(where.error());
  std::size_t slash = where->rest.rfind('/');
  std::string name = slash == where->rest.npos ? where->rest : where->rest.substr(slash + 1);
  if (name == "." || name == "..") return failed(path, "names no entry of a directory");
  std::string parent = slash == where->rest.npos ? "." : where->rest.substr(0, slash);
  Descriptor directory(open_beneath(where->root->directory.get(), parent, O_PATH | O_DIRECTORY, 0));
  if (!directory) return failed_with(path, errno);
  return Entry{std::move(directory), std::move(name)};
}

FileResult<Descriptor> Files::open_regular(std::string_view path) const {
  // Looked at before it is opened: opening a device could do something.
  auto looked = open_at(path, O_PATH);
  if (!looked) return looked;
  struct stat status{};
  if (::fstat(looked->get(), &status) != 0) return failed_with(path, errno);
  if (S_ISDIR(status.st_mode)) return failed(path, "is a directory");
  if (!S_ISREG(status.st_mode)) return failed(path, "is not a regular file");
  auto file = open_at(path, O_RDONLY | O_NONBLOCK);
  if (!file) return file;
  if (::fstat(file->get(), &status) != 0 || !S_ISREG(status.st_mode))
    return failed(path, "is not a regular file");
  return file;
}

FileResult<std::string> Files::read(std::string_view path) const {
  auto file = open_regular(path);
  if (!file) return std::unexpected(file.error());
  return read_all(file->get(), path, kMaxFileBytes);
}

FileResult<void> Files::write(std::string_view path, std::string_view bytes) const {
  if (bytes.size() > kMaxFileBytes)
    return failed(path, "would be larger than " + std::to_string(kMaxFileBytes) + " bytes");
  // A link is followed to the file that it means, which must be there.
  std::string target(path);
  if (auto named = entry(path)) {
    struct stat status{};
    if (::fstatat(named->parent.get(), named->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      if (S_ISLNK(status.st_mode)) {
        auto real = canonicalize(path);
        if (!real) return std::unexpected(real.error());
        target = *real;
      } else if (!S_ISREG(status.st_mode)) {
        return failed(path, "is not a regular file");
      }
    }
  }
  auto where = entry(target);
  if (!where) return std::unexpected(where.error());
  struct stat old{};
  bool exists = ::fstatat(where->parent.get(), where->name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  std::string temporary;
  Descriptor file;
  for (int number = 0; number < 100 && !file; ++number) {
    temporary = ".perdure-write-" + std::to_string(::getpid()) + "-" + std::to_string(number);
    file.reset(::openat(where->parent.get(), temporary.c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file && errno != EEXIST) return failed_with(path, errno);
  }
  if (!file) return failed_with(path, EEXIST);
  if (exists && S_ISREG(old.st_mode)) (void)::fchmod(file.get(), old.st_mode & 0777);
  if (!write_all(file.get(), bytes) || ::renameat(where->parent.get(), temporary.c_str(),
                                                  where->parent.get(), where->name.c_str()) != 0) {
    int error = errno;
    ::unlinkat(where->parent.get(), temporary.c_str(), 0);
    return failed_with(path, error);
  }
  return {};
}

FileResult<void> Files::create_directory(std::string_view path, bool recursive) const {
  if (recursive) {
    auto where = place(path);
    if (!where) return std::unexpected(where.error());
    // Each part in turn, resolved anew from the root: nothing is trusted to be what it was.
    for (std::size_t end = where->rest.find('/'); end != std::string::npos;
         end = where->rest.find('/', end + 1)) {
      std::string part = where->root->prefix + "/" + where->rest.substr(0, end);
      auto made = create_directory(part, false);
      auto there = metadata(part);
      if (!there || !there->is_directory) return made ? failed(part, "is no directory") : made;
    }
  }
  auto where = entry(path);
  if (!where) {
    auto there = recursive ? metadata(path) : FileResult<Metadata>(std::unexpect);
    if (there && there->is_directory) return {};
    return std::unexpected(where.error());
  }
  if (::mkdirat(where->parent.get(), where->name.c_str(), 0755) == 0) return {};
  int error = errno;
  if (recursive && error == EEXIST) {
    auto there = metadata(path);
    if (there && there->is_directory) return {};
  }
  return failed_with(path, error);
}

FileResult<Metadata> Files::metadata(std::string_view path) const {
  auto where = place(path);
  if (!where) return std::unexpected(where.error());
  Metadata about;
  Descriptor file;
  if (auto named = entry(path)) {
    struct stat status{};
    if (::fstatat(named->parent.get(), named->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return failed_with(path, errno);
    about.is_symlink = S_ISLNK(status.st_mode);
    file.reset(open_beneath(where->root->directory.get(), where->rest, O_PATH, 0));
    // A link that leads nowhere, or out, is told as a link and nothing else.
    if (!file && about.is_symlink)
      file.reset(
          ::openat(named->parent.get(), named->name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  } else {
    file.reset(open_beneath(where->root->directory.get(), where->rest, O_PATH, 0));
  }
  struct statx status{};
  if (!file ||
      ::statx(file.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status) != 0)
    return failed_with(path, errno);
  about.is_directory = S_ISDIR(status.stx_mode);
  about.is_file = S_ISREG(status.stx_mode);
  about.size = status.stx_size;
  about.modified_at_ms = milliseconds(status.stx_mtime);
  about.created_at_ms = status.stx_mask & STATX_BTIME ? milliseconds(status.stx_btime) : 0;
  return about;
}

FileResult<std::vector<DirectoryEntry>> Files::list(std::string_view path) const {
  auto directory = open_at(path, O_RDONLY | O_DIRECTORY);
  if (!directory) return std::unexpected(directory.error());
  auto names = names_in(directory->get(), kMaxDirectoryEntries);
  if (!names) return failed_with(path, names.error());
  std::vector<DirectoryEntry> entries;
  entries.reserve(names->size());
  for (std::string& name : *names) {
    struct stat status{};
    if (::fstatat(directory->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    entries.push_back({std::move(name), S_ISDIR(status.st_mode), S_ISREG(status.st_mode)});
  }
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

FileResult<void> Files::remove(std::string_view path, bool recursive, bool force) const {
  auto where = entry(path);
  if (!where) return std::unexpected(where.error());
  int error = remove_tree(where->parent.get(), where->name, recursive);
  if (error == 0 || (error == ENOENT && force)) return {};
  return failed_with(path, error);
}

FileResult<void> Files::copy(std::string_view from, std::string_view to, bool recursive) const {
  auto source = entry(from);
  if (!source) return std::unexpected(source.error());
  auto target = entry(to);
  if (!target) return std::unexpected(target.error());
  int error =
      copy_tree(source->parent.get(), source->name, target->parent.get(), target->name, recursive);
  if (error == EISDIR) return failed(from, "is a directory; copy it with \"recursive\"");
  if (error == ELOOP) return failed(to, "lies within what is copied");
  if (error != 0) return failed_with(from, error);
  return {};
}

FileResult<std::string> Files::canonicalize(std::string_view path) const {
  auto file = open_at(path, O_PATH);
  if (!file) return std::unexpected(file.error());
  std::string link = "/proc/self/fd/" + std::to_string(file->get());
  char buffer[4096];
  ssize_t length = ::readlink(link.c_str(), buffer, sizeof buffer);
  if (length < 0 || length == sizeof buffer) return failed_with(path, errno);
  return std::string(buffer, static_cast<std::size_t>(length));
}

FileResult<SearchAnswer> Files::search(std::string_view path, std::string_view text,
                                       std::size_t max_matches) const {
  auto where = place(path);
  if (!where) return std::unexpected(where.error());
  SearchAnswer answer;
  max_matches = std::min(max_matches, kMaxSearchMatches);
  auto look_at = [&](const std::string& relative, int descriptor) {
    auto content = read_all(descriptor, relative, kMaxSearchFileBytes);
    if (!content) {
      answer.truncated = true;
      return true;
    }
    if (content->contains('\0')) return true;
    std::int64_t number = 0;
    for (std::size_t start = 0; start < content->size(); ++number) {
      std::size_t end = std::min(content->find('\n', start), content->size());
      std::string_view line = std::string_view(*content).substr(start, end - start);
      if (line.contains(text)) {
        if (answer.matches.size() >= max_matches) {
          answer.truncated = true;
          return false;
        }
        std::string whole(path);
        if (!relative.empty()) whole += (whole.ends_with('/') ? "" : "/") + relative;
        answer.matches.push_back(
            {std::move(whole), number + 1, std::string(line.substr(0, kMaxSearchLineBytes))});
      }
      start = end + 1;
    }
    return true;
  };
  auto top = open_at(path, O_PATH);
  if (!top) return std::unexpected(top.error());
  struct stat status{};
  if (::fstat(top->get(), &status) != 0) return failed_with(path, errno);
  if (!S_ISDIR(status.st_mode)) {
    auto file = open_regular(path);
    if (!file) return std::unexpected(file.error());
    look_at("", file->get());
    return answer;
  }
  auto directory = open_at(path, O_RDONLY | O_DIRECTORY);
  if (!directory) return std::unexpected(directory.error());
  if (!each_file(directory->get(), kMaxSearchFiles, look_at)) answer.truncated = true;
  return answer;
}

FileResult<void> Files::open_handle(std::string_view handle, std::string_view path) {
  if (handles_.contains(handle)) return failed(handle, "is a handle in use");
  if (handles_.size() >= kMaxFileHandles) return failed(path, "too many files are open");
  auto file = open_regular(path);
  if (!file) return std::unexpected(file.error());
  handles_.emplace(handle, std::move(*file));
  return {};
}

FileResult<Files::Block> Files::read_block(std::string_view handle, std::uint64_t offset,
                                           std::size_t length) const {
  auto found = handles_.find(handle);
  if (found == handles_.end()) return failed(handle, "is no open handle");
  length = std::min(length, kMaxBlockBytes);
  if (offset > static_cast<std::uint64_t>(INT64_MAX) - length)
    return failed(handle, "the offset is out of range");
  Block block;
  block.bytes.resize(length);
  ssize_t got = 0;
  do {
    got = ::pread(found->second.get(), block.bytes.data(), length, static_cast<off_t>(offset));
  } while (got < 0 && errno == EINTR);
  if (got < 0) return failed_with(handle, errno);
  block.bytes.resize(static_cast<std::size_t>(got));
  block.eof = block.bytes.size() < length;
  return block;
}

FileResult<void> Files::close_handle(std::string_view handle) {
  auto found = handles_.find(handle);
  if (found == handles_.end()) return failed(handle, "is no open handle");
  handles_.erase(found);
  return {};
}

FileResult<std::string> path_of(std::string_view text) {
  constexpr std::string_view kScheme = "file://";
  if (text.starts_with('/')) return std::string(text);
  if (!text.starts_with(kScheme)) return failed(text, "is neither a file URI nor an absolute path");
  std::string_view rest = text.substr(kScheme.size());
  if (rest.starts_with("localhost/")) rest.remove_prefix(9);
  if (!rest.starts_with('/')) return failed(text, "names another host");
  std::string path;
  auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : -1;
  };
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] != '%') {
      path += rest[i];
      continue;
    }
    int high = i + 2 < rest.size() ? digit(rest[i + 1]) : -1;
    int low = i + 2 < rest.size() ? digit(rest[i + 2]) : -1;
    if (high < 0 || low < 0) return failed(text, "is no URI");
    path += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return path;
}

std::string file_uri(std::string_view path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string uri = "file://";
  for (char c : path) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 std::string_view("/-._~").contains(c);
    if (plain) {
      uri += c;
    } else {
      uri += '%';
      uri += kHex[static_cast<unsigned char>(c) >> 4];
      uri += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return uri;
}

}  // namespace perdure::executor::runner
