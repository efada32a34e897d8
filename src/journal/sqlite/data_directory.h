// The directory that holds an embedded store: who owns it, and its reserve of disk space.
//
//   lock        held with flock by the process that uses the directory; its pid is inside
//   reserve     preallocated bytes, given up when the disk is full so that results still commit
//   perdure.db  the database, with perdure.db-wal and perdure.db-shm beside it
//
// The directory is made with mode 0700, its files with 0600; no child inherits a descriptor. Owned
// by the SqliteJournal; the reserve is used by the writer thread only.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"

namespace perdure::journal::sqlite {

class DataDirectory {
 public:
  /// Creates the directory where it is missing, takes the lock and makes the database file.
  /// kConflict: another process has the lock.
  static Result<std::unique_ptr<DataDirectory>> open(std::string path);
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string database_path() const { return path_ + "/perdure.db"; }

  /// Frees the reserve's space; false when there was none left to free.
  bool release_reserve();
  /// True when the disk has room to spare and the reserve is whole (again).
  bool restore_reserve();

  /// Makes the names in the directory durable. A failure ends the process.
  void sync() const;

 private:
  explicit DataDirectory(std::string path) : path_(std::move(path)) {}
  Result<void> take_lock();
  Result<void> make_database_file();
  std::string reserve_path() const { return path_ + "/reserve"; }

  std::string path_;
  int lock_ = -1;
};

}  // namespace perdure::journal::sqlite
