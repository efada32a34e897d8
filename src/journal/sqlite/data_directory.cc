#include "journal/sqlite/data_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/log.h"
#include "journal/limits.h"

namespace perdure::journal::sqlite {
namespace {

std::unexpected<Error> cannot(std::string_view what, const std::string& path, int error) {
  ErrorCode code = error == ENOSPC || error == EDQUOT  ? ErrorCode::kUnavailable
                   : error == EACCES || error == EROFS ? ErrorCode::kPermissionDenied
                                                       : ErrorCode::kInternal;
  return fail(code, fmt::format("Cannot {} {}: {}.", what, path, std::strerror(error)));
}

int open_file(const std::string& path, int flags) {
  return ::open(path.c_str(), flags | O_CLOEXEC, 0600);
}

void sync_directory(const std::string& path) {
  int directory = open_file(path, O_RDONLY | O_DIRECTORY);
  if (directory < 0 || ::fsync(directory) != 0)
    log::fatal("A change of the data directory did not reach the disk.",
               {{"directory", path}, {"error", std::strerror(errno)}});
  ::close(directory);
}

/// Creates the directories of `path` that are missing and makes each one's name durable.
Result<void> make_directories(const std::filesystem::path& path) {
  std::error_code ignored;
  if (path.empty() || std::filesystem::is_directory(path, ignored)) return {};
  TRY_VOID(make_directories(path.parent_path()));
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return cannot("create the directory", path, errno);
  sync_directory(path.has_parent_path() ? path.parent_path() : ".");
  return {};
}

}  // namespace

Result<std::unique_ptr<DataDirectory>> DataDirectory::open(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  TRY_VOID(make_directories(path));
  std::unique_ptr<DataDirectory> directory(new DataDirectory(std::move(path)));
  TRY_VOID(directory->take_lock());
  TRY_VOID(directory->make_database_file());
  directory->sync();
  return directory;
}

DataDirectory::~DataDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

Result<void> DataDirectory::take_lock() {
  std::string path = path_ + "/lock";
  lock_ = open_file(path, O_RDWR | O_CREAT);
  if (lock_ < 0) return cannot("open", path, errno);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return cannot("lock", path, errno);
    char text[24] = {};
    ssize_t size = ::pread(lock_, text, sizeof text - 1, 0);
    std::string holder(text, size > 0 ? static_cast<std::size_t>(size) : 0);
    while (!holder.empty() && holder.back() == '\n') holder.pop_back();
    return fail(ErrorCode::kConflict,
                holder.empty()
                    ? fmt::format("The data directory {} is in use by another process.", path_)
                    : fmt::format("The data directory {} is in use by process {}.", path_, holder));
  }
  // For people only; the lock is what counts, so a full disk is no reason to fail here.
  std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(lock_, 0) != 0 ||
      ::pwrite(lock_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    log::warn("the process id could not be written into the lock file", {{"file", path}});
  return {};
}

Result<void> DataDirectory::make_database_file() {
  // SQLite gives the files beside it the same mode.
  int file = open_file(database_path(), O_RDWR | O_CREAT);
  if (file < 0) return cannot("open", database_path(), errno);
  ::close(file);
  return {};
}

void DataDirectory::sync() const {
  sync_directory(path_);
}

bool DataDirectory::release_reserve() {
  struct stat status;
  if (::stat(reserve_path().c_str(), &status) != 0 || status.st_size == 0) return false;
  return ::truncate(reserve_path().c_str(), 0) == 0;
}

bool DataDirectory::restore_reserve() {
  int file = open_file(reserve_path(), O_RDWR | O_CREAT);
  if (file < 0) return false;
  struct stat status;
  struct statvfs disk;
  bool whole = false;
  if (::fstat(file, &status) == 0 && ::fstatvfs(file, &disk) == 0) {
    auto allocated = static_cast<std::uint64_t>(status.st_blocks) * 512;
    std::uint64_t missing = allocated >= kDiskReserve ? 0 : kDiskReserve - allocated;
    std::uint64_t available = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    // Allocating the headroom for a moment finds quotas, which the free blocks do not show.
    whole = available >= missing + kDiskHeadroom &&
            ::posix_fallocate(file, 0, kDiskReserve + kDiskHeadroom) == 0 &&
            ::ftruncate(file, kDiskReserve) == 0;
    // Half a reserve would take the very space that lets the store go on.
    if (!whole && ::ftruncate(file, missing > 0 ? 0 : kDiskReserve) != 0)
      log::warn("the reserve of disk space could not be given up", {{"file", reserve_path()}});
  }
  ::close(file);
  return whole;
}

}  // namespace perdure::journal::sqlite
