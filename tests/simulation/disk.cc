#include "disk.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>
#include <utility>

namespace perdure::simulation {

/// SQLite's calls, each of a handle.
struct DiskMethods {
  using Handle = Disk::Handle;

  static Handle& of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file); }
  /// Whether its process is still there.
  static bool alive(const Handle& handle) {
    return handle.disk->runs_ && handle.disk->process_ == handle.process;
  }

  static int close(sqlite3_file* file) {
    Handle& handle = of(file);
    handle.locks->levels.erase(&handle);
    shm_unmap(file, 0);
    handle.~Handle();
    return SQLITE_OK;
  }

  static int read(sqlite3_file* file, void* data, int size, sqlite3_int64 offset) {
    const Handle& handle = of(file);
    if (!alive(handle)) return SQLITE_IOERR;
    const std::string& seen = handle.file->seen;
    const auto from = std::min(static_cast<std::size_t>(offset), seen.size());
    const std::size_t found = std::min(static_cast<std::size_t>(size), seen.size() - from);
    std::memcpy(data, seen.data() + from, found);
    if (found == static_cast<std::size_t>(size)) return SQLITE_OK;
    std::memset(static_cast<char*>(data) + found, 0, static_cast<std::size_t>(size) - found);
    return SQLITE_IOERR_SHORT_READ;
  }

  static int change(Handle& handle, Disk::Change change) {
    if (!alive(handle)) return SQLITE_IOERR;
    const std::size_t end = change.at + change.bytes.size();
    const std::size_t now = handle.file->seen.size();
    if (end > now && !handle.disk->admits(static_cast<std::int64_t>(end - now))) {
      errno = ENOSPC;
      return SQLITE_FULL;
    }
    Disk::apply(handle.file->seen, change);
    handle.file->unflushed.push_back(std::move(change));
    return handle.disk->operate() ? SQLITE_OK : SQLITE_IOERR;
  }
  static int write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
    return change(of(file), {.at = static_cast<std::size_t>(offset),
                             .bytes = std::string(static_cast<const char*>(data),
                                                  static_cast<std::size_t>(size))});
  }
  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    return change(of(file), {.at = static_cast<std::size_t>(size), .truncates = true});
  }

  static int sync(sqlite3_file* file, int) {
    const Handle& handle = of(file);
    if (!alive(handle)) return SQLITE_IOERR;
    Disk& disk = *handle.disk;
    if (disk.fault_ == DiskFault::kFlushFails && disk.operations_ + 1 >= disk.fault_at_) {
      disk.keep_some(*handle.file);
      disk.end_process();
      return SQLITE_IOERR;
    }
    // What an earlier flush forgot is not written by this one either.
    for (const Disk::Change& each : handle.file->unflushed) Disk::apply(handle.file->durable, each);
    handle.file->unflushed.clear();
    handle.file->named = true;
    return disk.operate() ? SQLITE_OK : SQLITE_IOERR;
  }

  static int size(sqlite3_file* file, sqlite3_int64* size) {
    if (!alive(of(file))) return SQLITE_IOERR;
    *size = static_cast<sqlite3_int64>(of(file).file->seen.size());
    return SQLITE_OK;
  }

  static int lock(sqlite3_file* file, int level) {
    const Handle& handle = of(file);
    if (!alive(handle)) return SQLITE_IOERR;
    int others = SQLITE_LOCK_NONE;
    for (const auto& [other, held] : handle.locks->levels)
      if (other != &handle) others = std::max(others, held);
    const int most = level == SQLITE_LOCK_SHARED      ? SQLITE_LOCK_RESERVED
                     : level == SQLITE_LOCK_EXCLUSIVE ? SQLITE_LOCK_NONE
                                                      : SQLITE_LOCK_SHARED;
    if (others > most) return SQLITE_BUSY;
    int& mine = handle.locks->levels[&handle];
    mine = std::max(mine, level);
    return SQLITE_OK;
  }
  static int unlock(sqlite3_file* file, int level) {
    const Handle& handle = of(file);
    handle.locks->levels[&handle] = std::min(handle.locks->levels[&handle], level);
    return SQLITE_OK;
  }
  static int check_reserved(sqlite3_file* file, int* reserved) {
    *reserved = 0;
    for (const auto& [other, held] : of(file).locks->levels)
      if (held >= SQLITE_LOCK_RESERVED) *reserved = 1;
    return SQLITE_OK;
  }

  static int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int sector_size(sqlite3_file*) { return 4096; }
  static int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  static int shm_map(sqlite3_file* file, int region, int size, int extend, void volatile** at) {
    const Handle& handle = of(file);
    if (!alive(handle)) return SQLITE_IOERR;
    auto& regions = handle.locks->memory.regions;
    *at = nullptr;
    while (regions.size() <= static_cast<std::size_t>(region)) {
      if (!extend) return SQLITE_OK;
      regions.push_back(std::make_unique<char[]>(static_cast<std::size_t>(size)));
    }
    *at = regions[static_cast<std::size_t>(region)].get();
    return SQLITE_OK;
  }
  static int shm_lock(sqlite3_file* file, int first, int count, int flags) {
    const Handle& handle = of(file);
    if (!alive(handle)) return SQLITE_IOERR;
    auto* slots = handle.locks->memory.slots;
    const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (int i = first; i < first + count && (flags & SQLITE_SHM_LOCK); ++i) {
      auto others = slots[i].sharers;
      others.erase(&handle);
      if (slots[i].owner && slots[i].owner != &handle) return SQLITE_BUSY;
      if (exclusive && !others.empty()) return SQLITE_BUSY;
    }
    for (int i = first; i < first + count; ++i) {
      slots[i].sharers.erase(&handle);
      if (slots[i].owner == &handle) slots[i].owner = nullptr;
      if (!(flags & SQLITE_SHM_LOCK)) continue;
      if (exclusive)
        slots[i].owner = &handle;
      else
        slots[i].sharers.insert(&handle);
    }
    return SQLITE_OK;
  }
  static void shm_barrier(sqlite3_file*) {}
  static int shm_unmap(sqlite3_file* file, int) {
    const Handle& handle = of(file);
    for (auto& slot : handle.locks->memory.slots) {
      slot.sharers.erase(&handle);
      if (slot.owner == &handle) slot.owner = nullptr;
    }
    return SQLITE_OK;
  }

  static constexpr sqlite3_io_methods kMethods = {
      .iVersion = 2,
      .xClose = close,
      .xRead = read,
      .xWrite = write,
      .xTruncate = truncate,
      .xSync = sync,
      .xFileSize = size,
      .xLock = lock,
      .xUnlock = unlock,
      .xCheckReservedLock = check_reserved,
      .xFileControl = control,
      .xSectorSize = sector_size,
      .xDeviceCharacteristics = characteristics,
      .xShmMap = shm_map,
      .xShmLock = shm_lock,
      .xShmBarrier = shm_barrier,
      .xShmUnmap = shm_unmap,
      .xFetch = nullptr,
      .xUnfetch = nullptr,
  };

  // ---- of the disk ------------------------------------------------------------------------------

  static Disk& of(sqlite3_vfs* vfs) { return *static_cast<Disk*>(vfs->pAppData); }
  static std::string last_part(const char* path) {
    return std::filesystem::path(path).filename().string();
  }

  static int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* out) {
    Disk& disk = of(vfs);
    file->pMethods = nullptr;
    if (!disk.runs_) return SQLITE_CANTOPEN;
    std::shared_ptr<Disk::Contents> contents;
    if (!path) {
      contents = std::make_shared<Disk::Contents>();
    } else {
      // The program itself makes the database's file, by calls that no VFS sees.
      const bool makes = (flags & (SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB)) != 0;
      auto found = disk.files_.find(last_part(path));
      if (found == disk.files_.end() && !makes) return SQLITE_CANTOPEN;
      auto& slot = disk.files_[last_part(path)];
      if (!slot) slot = std::make_shared<Disk::Contents>();
      contents = slot;
    }
    auto& locks = disk.locks_[contents.get()];
    if (!locks) locks = std::make_shared<Disk::Locks>();
    new (file) Handle{{&kMethods}, &disk, disk.process_, std::move(contents), locks};
    if (out) *out = flags;
    return SQLITE_OK;
  }
  static int remove(sqlite3_vfs* vfs, const char* path, int) {
    Disk& disk = of(vfs);
    if (!disk.runs_) return SQLITE_IOERR;
    disk.files_.erase(last_part(path));
    return disk.operate() ? SQLITE_OK : SQLITE_IOERR;
  }
  static int access(sqlite3_vfs* vfs, const char* path, int, int* result) {
    *result = of(vfs).files_.contains(last_part(path)) ? 1 : 0;
    return SQLITE_OK;
  }
  static int full_path(sqlite3_vfs*, const char* path, int size, char* out) {
    if (std::strlen(path) >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
    std::strcpy(out, path);
    return SQLITE_OK;
  }
  /// Nobody sleeps in a simulation, and nobody else holds a lock.
  static int sleep(sqlite3_vfs*, int microseconds) { return microseconds; }
};

Disk::Disk(Random random) : vfs_(*sqlite3_vfs_find(nullptr)), random_(random) {
  static std::atomic<int> made = 0;
  name_ = fmt::format("simulated-disk-{}", ++made);
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.szOsFile = sizeof(Handle);
  vfs_.xOpen = DiskMethods::open;
  vfs_.xDelete = DiskMethods::remove;
  vfs_.xAccess = DiskMethods::access;
  vfs_.xFullPathname = DiskMethods::full_path;
  vfs_.xSleep = DiskMethods::sleep;
  sqlite3_vfs_register(&vfs_, 0);
}

Disk::~Disk() {
  sqlite3_vfs_unregister(&vfs_);
}

void Disk::begin_process(std::string reserve) {
  ++process_;
  runs_ = true;
  reserve_ = std::move(reserve);
  locks_.clear();
}

void Disk::end_process() {
  runs_ = false;
  forget_plan();
}

void Disk::plan(DiskFault fault, std::int64_t operation) {
  fault_ = fault;
  fault_at_ = operations_ + operation;
}

bool Disk::operate() {
  if (++operations_ < fault_at_ || fault_ == DiskFault::kFlushFails) return true;
  const DiskFault fault = fault_;
  end_process();
  if (fault == DiskFault::kPowerLoss) lose_power();
  return false;
}

void Disk::apply(std::string& to, const Change& change) {
  if (change.truncates) {
    to.resize(change.at);
    return;
  }
  if (to.size() < change.at + change.bytes.size()) to.resize(change.at + change.bytes.size());
  to.replace(change.at, change.bytes.size(), change.bytes);
}

/// Of what was not flushed each sector comes through or not: all, none, or any of them.
void Disk::keep_some(Contents& file) {
  const std::int64_t kind = random_.between(0, 3);
  const int chance = kind == 0 ? 0 : kind == 1 ? 100 : 50;
  std::string kept = file.durable;
  for (const Change& change : std::exchange(file.unflushed, {})) {
    if (change.truncates) {
      if (random_.chance(chance)) apply(kept, change);
      continue;
    }
    for (std::size_t from = 0; from < change.bytes.size();) {
      const std::size_t at = change.at + from;
      const std::size_t size = std::min(kSector - at % kSector, change.bytes.size() - from);
      if (random_.chance(chance)) apply(kept, {.at = at, .bytes = change.bytes.substr(from, size)});
      from += size;
    }
  }
  file.durable = std::move(kept);
}

void Disk::lose_power() {
  end_process();
  for (auto entry = files_.begin(); entry != files_.end();) {
    Contents& file = *entry->second;
    keep_some(file);
    file.seen = file.durable;
    if (!file.named && random_.chance(50))
      entry = files_.erase(entry);
    else
      ++entry;
  }
}

std::int64_t Disk::used() const {
  std::error_code ignored;
  auto used = static_cast<std::int64_t>(std::filesystem::file_size(reserve_, ignored));
  if (ignored) used = 0;
  for (const auto& [name, file] : files_) used += static_cast<std::int64_t>(file->seen.size());
  return used;
}

bool Disk::admits(std::int64_t growth) {
  if (capacity_ == kNever) return true;
  const std::int64_t now = used();
  if (now + growth < capacity_) return true;
  capacity_ = std::min(capacity_, now);
  return false;
}

}  // namespace perdure::simulation
