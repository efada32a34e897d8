#include "main/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace perdure::app {
namespace {

std::unexpected<Error> failed(std::string_view what, const std::string& path, int error) {
  return fail(error == ENOSPC ? ErrorCode::kUnavailable : ErrorCode::kPermissionDenied,
              fmt::format("Cannot {} {}: {}.", what, path, std::strerror(error)));
}

/// Closes its descriptor.
class File {
 public:
  File(const std::string& path, int flags) : descriptor_(::open(path.c_str(), flags, 0600)) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  bool ok() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

bool write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fsync(descriptor) == 0;
}

void sync_directory_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const File directory(parent.empty() ? "." : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // Some file systems refuse this on directories; the file itself is on disk already.
  if (directory.ok()) (void)::fsync(directory.get());
}

}  // namespace

Result<void> make_private_directory(const std::string& path) {
  const std::filesystem::path directory(path);
  std::error_code error;
  if (std::filesystem::is_directory(directory, error)) return {};
  if (directory.has_parent_path() && directory.parent_path() != directory)
    TRY_VOID(make_private_directory(directory.parent_path().string()));
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return failed("make the directory", path, errno);
  return {};
}

Result<bool> write_private_file(const std::string& path, std::string_view content,
                                IfPresent if_present) {
  const std::string draft = fmt::format("{}.{}.tmp", path, ::getpid());
  ::unlink(draft.c_str());
  {
    const File file(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW);
    if (!file.ok()) return failed("write", path, errno);
    if (!write_all(file.get(), content)) {
      const int error = errno;
      ::unlink(draft.c_str());
      return failed("write", path, error);
    }
  }
  bool written = true;
  int error = 0;
  if (if_present == IfPresent::kReplace) {
    if (::rename(draft.c_str(), path.c_str()) != 0) error = errno;
  } else if (::link(draft.c_str(), path.c_str()) != 0) {
    written = false;
    if (errno != EEXIST) error = errno;
  }
  ::unlink(draft.c_str());
  if (error != 0) return failed("write", path, error);
  sync_directory_of(path);
  return written;
}

Result<std::optional<std::string>> read_small_file(const std::string& path, std::size_t limit) {
  const File file(path, O_RDONLY | O_CLOEXEC);
  if (!file.ok() && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!file.ok()) return failed("read", path, errno);
  std::string content(limit + 1, '\0');
  std::size_t size = 0;
  while (size < content.size()) {
    const ssize_t got = ::read(file.get(), content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("read", path, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > limit)
    return fail(ErrorCode::kTooLarge, fmt::format("{} is longer than {} bytes.", path, limit));
  content.resize(size);
  return content;
}

bool is_open_to_others(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && (status.st_mode & 0077) != 0;
}

}  // namespace perdure::app
