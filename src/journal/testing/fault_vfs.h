// A SQLite VFS for tests: the real one, with a disk that can run full and flushes that can fail.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <string>

namespace perdure::journal::testing {

class FaultVfs {
 public:
  static constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

  /// Registers the VFS. `directory` is "the disk": all its files count, the reserve too.
  explicit FaultVfs(std::string directory);
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;

  static std::string name() { return "perdure-fault"; }

  /// Bytes the files of the directory have now.
  std::int64_t used() const;
  /// From now on the disk has only so many more. Once a write was refused, all are until a file is
  /// gone or shorter: the disk is as full then as others keep it.
  void leave_free(std::int64_t bytes) { capacity_ = used() + bytes; }
  void make_room() { capacity_ = kUnlimited; }
  /// Whether a file may grow by this much.
  bool admit(std::int64_t growth);

  std::atomic<bool> fail_sync{false};
  std::atomic<bool> fail_write{false};  ///< with an error that is not "full"

 private:
  std::string directory_;
  std::atomic<std::int64_t> capacity_{kUnlimited};
};

}  // namespace perdure::journal::testing
