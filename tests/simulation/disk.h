// The disk of an embedded store, in memory: SQLite's own code over it, as over a real one.
//
// What a process writes is seen by whoever reads afterwards, also by a process that comes after it;
// what was flushed survives a loss of power too. Of the rest each sector of 512 bytes comes through
// or does not, and a file's length is anything between. A flush that fails keeps some of what was
// written and forgets the others, as Linux does: they are seen, and the next flush, which succeeds,
// does not write them; the process ends with it, as a server does (the stage disk shows that). The
// name of a file comes through from its first flush on.
//
// Misfortunes happen at a chosen operation: an operation is what changes a file or flushes it.
// Behind that one the process is gone, and whatever it still tries fails. One process at a time
// uses the disk; its connections have locks and shared memory like those of SQLite's unix files.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "random.h"

namespace perdure::simulation {

enum class DiskFault { kKill, kPowerLoss, kFlushFails };

class Disk {
 public:
  /// Registers the VFS `vfs()` with SQLite.
  explicit Disk(Random random);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  const std::string& vfs() const { return name_; }

  /// A process begins. `reserve`: a real file that takes room on this disk too (it is preallocated
  /// and given up by calls that no VFS sees).
  void begin_process(std::string reserve);
  /// It is gone: nothing that it has open works any more.
  void end_process();
  bool process_runs() const { return runs_; }
  /// The fault comes with the `operation`-th operation from now.
  void plan(DiskFault fault, std::int64_t operation);
  void forget_plan() { fault_at_ = kNever; }
  void lose_power();

  /// From now on it has only so many bytes left. Once something was refused, all growth is.
  void leave_free(std::int64_t bytes) { capacity_ = used() + bytes; }
  void make_room() { capacity_ = kNever; }
  bool is_small() const { return capacity_ != kNever; }

 private:
  friend struct DiskMethods;
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  static constexpr std::size_t kSector = 512;

  struct Change {
    std::size_t at = 0;
    std::string bytes;
    bool truncates = false;  ///< to `at`
  };
  struct Contents {
    std::string seen;
    std::string durable;
    std::vector<Change> unflushed;
    bool named = false;  ///< its name is durable
  };
  using Process = std::uint64_t;
  struct Handle;  ///< an open file, of one process
  struct SharedMemory {
    std::vector<std::unique_ptr<char[]>> regions;
    struct Slot {
      std::set<const Handle*> sharers;
      const Handle* owner = nullptr;
    };
    Slot slots[SQLITE_SHM_NLOCK];
  };
  /// What connections of the running process have of one file together.
  struct Locks {
    std::map<const Handle*, int> levels;  ///< SQLITE_LOCK_…
    SharedMemory memory;
  };
  struct Handle {
    sqlite3_file base;
    Disk* disk;
    Process process;
    std::shared_ptr<Contents> file;
    std::shared_ptr<Locks> locks;
  };

  bool admits(std::int64_t growth);
  std::int64_t used() const;
  /// Counts an operation; false: the process ends with it.
  bool operate();
  static void apply(std::string& to, const Change& change);
  void keep_some(Contents& file);

  std::string name_;
  sqlite3_vfs vfs_;
  Random random_;
  std::map<std::string, std::shared_ptr<Contents>> files_;   // by the last part of the path
  std::map<const Contents*, std::shared_ptr<Locks>> locks_;  // of the running process
  std::string reserve_;
  Process process_ = 0;
  bool runs_ = false;
  DiskFault fault_ = DiskFault::kKill;
  std::int64_t operations_ = 0;
  std::int64_t fault_at_ = kNever;
  std::int64_t capacity_ = kNever;
};

}  // namespace perdure::simulation
