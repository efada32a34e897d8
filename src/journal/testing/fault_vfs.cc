#include "journal/testing/fault_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace perdure::journal::testing {
namespace {

FaultVfs* g_faults = nullptr;  // SQLite's callbacks have no better place for it
sqlite3_vfs g_vfs;

/// What SQLite allocates for an open file; the real one's memory follows it.
struct File {
  sqlite3_file base;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

sqlite3_file* real(sqlite3_file* file) {
  return reinterpret_cast<File*>(file)->real();
}

/// Forwards a method unchanged.
template <auto Method>
struct Forward;
template <class... Args, int (*sqlite3_io_methods::*Method)(sqlite3_file*, Args...)>
struct Forward<Method> {
  static int call(sqlite3_file* file, Args... args) {
    return (real(file)->pMethods->*Method)(real(file), args...);
  }
};

int write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  if (g_faults->fail_write) {
    errno = EIO;
    return SQLITE_IOERR_WRITE;
  }
  sqlite3_int64 end = 0;
  real(file)->pMethods->xFileSize(real(file), &end);
  sqlite3_int64 growth = offset + size - end;
  if (!g_faults->admit(growth > 0 ? growth : 0)) {
    errno = ENOSPC;
    return SQLITE_FULL;
  }
  return real(file)->pMethods->xWrite(real(file), data, size, offset);
}

int sync(sqlite3_file* file, int flags) {
  if (g_faults->fail_sync) {
    errno = EIO;
    return SQLITE_IOERR_FSYNC;
  }
  return real(file)->pMethods->xSync(real(file), flags);
}

void shm_barrier(sqlite3_file* file) {
  real(file)->pMethods->xShmBarrier(real(file));
}

using Methods = sqlite3_io_methods;
const Methods kMethods = {
    .iVersion = 2,
    .xClose = Forward<&Methods::xClose>::call,
    .xRead = Forward<&Methods::xRead>::call,
    .xWrite = write,
    .xTruncate = Forward<&Methods::xTruncate>::call,
    .xSync = sync,
    .xFileSize = Forward<&Methods::xFileSize>::call,
    .xLock = Forward<&Methods::xLock>::call,
    .xUnlock = Forward<&Methods::xUnlock>::call,
    .xCheckReservedLock = Forward<&Methods::xCheckReservedLock>::call,
    .xFileControl = Forward<&Methods::xFileControl>::call,
    .xSectorSize = Forward<&Methods::xSectorSize>::call,
    .xDeviceCharacteristics = Forward<&Methods::xDeviceCharacteristics>::call,
    .xShmMap = Forward<&Methods::xShmMap>::call,
    .xShmLock = Forward<&Methods::xShmLock>::call,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = Forward<&Methods::xShmUnmap>::call,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  auto* real_vfs = static_cast<sqlite3_vfs*>(vfs->pAppData);
  file->pMethods = nullptr;
  int code = real_vfs->xOpen(real_vfs, name, real(file), flags, out_flags);
  if (code == SQLITE_OK) file->pMethods = &kMethods;
  return code;
}

}  // namespace

FaultVfs::FaultVfs(std::string directory) : directory_(std::move(directory)) {
  g_faults = this;
  sqlite3_vfs* real_vfs = sqlite3_vfs_find(nullptr);
  g_vfs = *real_vfs;
  g_vfs.pNext = nullptr;
  g_vfs.zName = "perdure-fault";
  g_vfs.pAppData = real_vfs;
  g_vfs.szOsFile = static_cast<int>(sizeof(File)) + real_vfs->szOsFile;
  g_vfs.xOpen = open;
  sqlite3_vfs_register(&g_vfs, 0);
}

FaultVfs::~FaultVfs() {
  sqlite3_vfs_unregister(&g_vfs);
  g_faults = nullptr;
}

bool FaultVfs::admit(std::int64_t growth) {
  std::int64_t capacity = capacity_;
  if (capacity == kUnlimited) return true;
  std::int64_t now = used();
  if (now + growth < capacity) return true;
  capacity_.compare_exchange_strong(capacity, std::min(capacity, now));
  return false;
}

std::int64_t FaultVfs::used() const {
  std::int64_t used = 0;
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(directory_, ignored))
    used += static_cast<std::int64_t>(file.file_size(ignored));
  return used;
}

}  // namespace perdure::journal::testing
