// A disk that loses power, as an LD_PRELOAD library: works on any unmodified program.
//
// Every change to a file under POWER_LOSS_UNDER is a *point*: a write, a truncation, a creation, a
// rename, a removal, a sync. At point number POWER_LOSS_AT the process dies with status 137. What
// the next process finds depends on POWER_LOSS_MODE:
//
//   kill   everything done so far: the operating system survived
//   torn   the same, but the write of that point was done only in part
//   power  only what was synced is certain. Of every 512-byte sector written since its file's last
//          sync, one of the versions since then survives (or the synced one); a changed size and
//          each created, removed or renamed name whose directory was not synced is kept or lost.
//          POWER_LOSS_SEED decides.
//
// A write is done before the process dies, a sync is not. Syncs are only remembered, never passed
// on: the disk under test is this model, and the sweep stays fast. Without POWER_LOSS_AT nothing
// dies; POWER_LOSS_REPORT names a file that gets the number of points at exit.
//
// Limits of the model: shared writable mappings are not seen (SQLite's -shm is one, and is rebuilt
// by whoever opens the log first), directories themselves are durable, one process at a time:
// children are not followed.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kSector = 512, kMaxDescriptors = 65536 };
enum mode { kKill, kTorn, kPower };

// ---- the real functions ---------------------------------------------------------------------

static struct {
  int (*open)(const char*, int, ...);
  int (*openat)(int, const char*, int, ...);
  int (*close)(int);
  ssize_t (*write)(int, const void*, size_t);
  ssize_t (*writev)(int, const struct iovec*, int);
  ssize_t (*pwrite)(int, const void*, size_t, off_t);
  ssize_t (*pread)(int, void*, size_t, off_t);
  int (*ftruncate)(int, off_t);
  int (*truncate)(const char*, off_t);
  int (*posix_fallocate)(int, off_t, off_t);
  int (*fsync)(int);
  int (*fdatasync)(int);
  int (*rename)(const char*, const char*);
  int (*unlink)(const char*);
  int (*unlinkat)(int, const char*, int);
} real;

static void* find(const char* name) {
  void* function = dlsym(RTLD_NEXT, name);
  if (!function) abort();
  return function;
}

// ---- the model ------------------------------------------------------------------------------

/// What a sector held at some time since its file's last sync; the first one is the synced one.
struct version {
  struct version* older;
  unsigned char bytes[kSector];
};

struct sector {
  struct sector* next;
  off_t number;
  int versions;
  struct version* newest;  // not counting what the file holds now
};

enum { kBuckets = 1024 };

struct file {
  struct file* next;
  dev_t device;
  ino_t inode;
  int descriptor;  // our own, so that the file can be set back when the program closed or removed
                   // it
  off_t synced_size;
  struct sector* sectors[kBuckets];
};

enum change_kind { kCreated, kRemoved, kRenamed };

/// A change of a directory that was not synced yet.
struct change {
  struct change* older;
  enum change_kind kind;
  int kept;  // decided when power is lost
  char directory[PATH_MAX];
  char path[PATH_MAX];    // created, removed, or the new name
  char from[PATH_MAX];    // the old name
  char hidden[PATH_MAX];  // holds what was removed or replaced; empty: nothing was
};

static struct {
  pthread_mutex_t mutex;
  char under[PATH_MAX];
  char hiding_place[PATH_MAX];
  enum mode mode;
  long at;
  long points;
  long hidden;
  uint64_t random;
  struct file* files;
  struct change* changes;  // newest first
  struct file* by_descriptor[kMaxDescriptors];
  char* directories[kMaxDescriptors];
  int active;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint64_t next_random(void) {
  disk.random ^= disk.random << 13;
  disk.random ^= disk.random >> 7;
  disk.random ^= disk.random << 17;
  return disk.random * 0x2545F4914F6CDD1DULL >> 32;
}

static int is_ours(const char* path) {
  size_t length = strlen(disk.under);
  return disk.active && strncmp(path, disk.under, length) == 0 &&
         (path[length] == '/' || path[length] == '\0');
}

/// The absolute path of a name that need not exist: its directory resolved, its last part kept.
static int absolute(int at, const char* name, char* out) {
  char joined[PATH_MAX], resolved[PATH_MAX], link[64];
  if (name[0] == '/') {
    if (snprintf(joined, sizeof joined, "%s", name) >= PATH_MAX) return 0;
  } else {
    char base[PATH_MAX];
    if (at == AT_FDCWD) {
      if (!getcwd(base, sizeof base)) return 0;
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", at);
      ssize_t length = readlink(link, base, sizeof base - 1);
      if (length < 0) return 0;
      base[length] = '\0';
    }
    if (snprintf(joined, sizeof joined, "%s/%s", base, name) >= PATH_MAX) return 0;
  }
  char* slash = strrchr(joined, '/');
  if (slash == joined) return snprintf(out, PATH_MAX, "%s", joined) < PATH_MAX;
  *slash = '\0';
  if (!realpath(joined, resolved)) return 0;
  return snprintf(out, PATH_MAX, "%s/%s", resolved, slash + 1) < PATH_MAX;
}

static void directory_of(const char* path, char* out) {
  snprintf(out, PATH_MAX, "%s", path);
  char* slash = strrchr(out, '/');
  if (slash) *slash = '\0';
}

static off_t size_of(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 ? status.st_size : 0;
}

static struct file* track(const char* path, int descriptor, int created) {
  struct stat status;
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return NULL;
  for (struct file* file = disk.files; file; file = file->next)
    if (file->device == status.st_dev && file->inode == status.st_ino) return file;
  struct file* file = calloc(1, sizeof *file);
  if (!file) abort();
  file->device = status.st_dev;
  file->inode = status.st_ino;
  file->descriptor = real.open(path, O_RDWR | O_CLOEXEC);
  file->synced_size = created ? 0 : status.st_size;
  file->next = disk.files;
  disk.files = file;
  return file;
}

/// Remembers what the sectors of a range hold before they change.
static void remember(struct file* file, off_t offset, off_t length) {
  if (disk.mode != kPower || length <= 0) return;
  for (off_t number = offset / kSector; number * kSector < offset + length; ++number) {
    struct sector** bucket = &file->sectors[number % kBuckets];
    struct sector* sector = *bucket;
    while (sector && sector->number != number) sector = sector->next;
    if (!sector) {
      sector = calloc(1, sizeof *sector);
      if (!sector) abort();
      sector->number = number;
      sector->next = *bucket;
      *bucket = sector;
    }
    struct version* version = calloc(1, sizeof *version);  // zeros beyond the end of the file
    if (!version) abort();
    if (real.pread(file->descriptor, version->bytes, kSector, number * kSector) < 0) abort();
    version->older = sector->newest;
    sector->newest = version;
    ++sector->versions;
  }
}

static void forget(struct file* file) {
  for (int i = 0; i < kBuckets; ++i) {
    for (struct sector* sector = file->sectors[i]; sector;) {
      for (struct version* version = sector->newest; version;) {
        struct version* older = version->older;
        free(version);
        version = older;
      }
      struct sector* next = sector->next;
      free(sector);
      sector = next;
    }
    file->sectors[i] = NULL;
  }
  file->synced_size = size_of(file->descriptor);
}

/// Sets a file back to what survived.
static void lose_data(struct file* file) {
  off_t size_now = size_of(file->descriptor), size = size_now;
  if (size != file->synced_size && next_random() % 2) size = file->synced_size;
  for (int i = 0; i < kBuckets; ++i)
    for (struct sector* sector = file->sectors[i]; sector; sector = sector->next) {
      uint64_t back = next_random() % (uint64_t)(sector->versions + 1);
      // Where a truncation is lost, so is the emptiness it left.
      if (back == 0 && sector->number * kSector >= size_now) back = 1;
      if (back == 0) continue;  // what the file holds now
      struct version* version = sector->newest;
      while (--back > 0) version = version->older;
      if (real.pwrite(file->descriptor, version->bytes, kSector, sector->number * kSector) < 0)
        abort();
    }
  if (real.ftruncate(file->descriptor, size) != 0) abort();
}

/// A name stands for one thing: a change of it that survives takes the older ones along.
static int must_be_kept(const struct change* change) {
  for (struct change* newer = disk.changes; newer != change; newer = newer->older)
    if (newer->kept &&
        (strcmp(newer->path, change->path) == 0 || strcmp(newer->from, change->path) == 0))
      return 1;
  return 0;
}

static void lose_name(const struct change* change) {
  if (change->kind == kCreated) real.unlink(change->path);
  if (change->kind == kRenamed) real.rename(change->path, change->from);
  if (change->hidden[0]) real.rename(change->hidden, change->path);
}

static int frozen;

static void stay_still(int signal) {
  (void)signal;
  __atomic_add_fetch(&frozen, 1, __ATOMIC_ACQ_REL);
  for (;;) pause();
}

/// Power goes for all threads at once: none may read what is set back, and tell of it.
static void freeze_other_threads(void) {
  struct sigaction action = {0};
  action.sa_handler = stay_still;
  sigaction(SIGUSR2, &action, NULL);
  DIR* threads = opendir("/proc/self/task");  // not closed: whoever holds the heap may be frozen
  if (!threads) abort();
  int asked = 0;
  for (struct dirent* entry; (entry = readdir(threads));) {
    long id = atol(entry->d_name);
    if (id > 0 && id != syscall(SYS_gettid) && syscall(SYS_tgkill, getpid(), id, SIGUSR2) == 0)
      ++asked;
  }
  // One that cannot be frozen, because it is about to end, is not waited for forever.
  for (int i = 0; i < 1000 && __atomic_load_n(&frozen, __ATOMIC_ACQUIRE) < asked; ++i) usleep(1000);
}

static void die(void) {
  if (disk.mode == kPower) {
    freeze_other_threads();
    for (struct file* file = disk.files; file; file = file->next) lose_data(file);
    for (struct change* change = disk.changes; change; change = change->older) {
      change->kept = must_be_kept(change) || next_random() % 2;
      if (!change->kept)
        lose_name(change);
      else if (change->hidden[0])
        real.unlink(change->hidden);
    }
  }
  _exit(137);
}

/// Counts a point; true when it is the one to die at.
static int is_last_point(void) {
  return ++disk.points == disk.at;
}

static void lock(void) {
  pthread_mutex_lock(&disk.mutex);
}
static void unlock(void) {
  pthread_mutex_unlock(&disk.mutex);
}

static struct file* file_of(int descriptor) {
  if (!disk.active || descriptor < 0 || descriptor >= kMaxDescriptors) return NULL;
  return __atomic_load_n(&disk.by_descriptor[descriptor], __ATOMIC_ACQUIRE);
}

// ---- names ----------------------------------------------------------------------------------

/// Keeps what a name stands for now, for the case that its removal or replacement is lost.
static void hide(const char* path, char* hidden) {
  struct stat status;
  hidden[0] = '\0';
  if (disk.mode != kPower || lstat(path, &status) != 0) return;
  snprintf(hidden, PATH_MAX, "%s.%ld", disk.hiding_place, ++disk.hidden);
  if (link(path, hidden) != 0) abort();
}

static void add_change(enum change_kind kind, const char* path, const char* from,
                       const char* hidden) {
  if (disk.mode != kPower) return;
  struct change* change = calloc(1, sizeof *change);
  if (!change) abort();
  change->kind = kind;
  directory_of(path, change->directory);
  snprintf(change->path, PATH_MAX, "%s", path);
  snprintf(change->from, PATH_MAX, "%s", from);
  snprintf(change->hidden, PATH_MAX, "%s", hidden);
  change->older = disk.changes;
  disk.changes = change;
}

static void sync_directory(const char* directory) {
  for (struct change** at = &disk.changes; *at;) {
    struct change* change = *at;
    if (strcmp(change->directory, directory) != 0) {
      at = &change->older;
      continue;
    }
    if (change->hidden[0]) real.unlink(change->hidden);
    *at = change->older;
    free(change);
  }
}

static void opened(int descriptor, const char* path, int created) {
  if (descriptor < 0 || descriptor >= kMaxDescriptors) return;
  struct stat status;
  if (fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
    disk.directories[descriptor] = strdup(path);
    return;
  }
  struct file* file = track(path, descriptor, created);
  __atomic_store_n(&disk.by_descriptor[descriptor], file, __ATOMIC_RELEASE);
}

static int open_at(int at, const char* name, int flags, mode_t permissions) {
  char path[PATH_MAX];
  if (!disk.active || !absolute(at, name, path) || !is_ours(path))
    return real.openat(at, name, flags, permissions);
  lock();
  struct stat status;
  int existed = stat(path, &status) == 0;
  int saved_truncation = existed && (flags & O_TRUNC) && S_ISREG(status.st_mode);
  if (saved_truncation) {
    int before = real.open(path, O_RDWR | O_CLOEXEC);
    if (before >= 0) {
      struct file* file = track(path, before, 0);
      if (file) remember(file, 0, status.st_size);
      real.close(before);
    }
  }
  int descriptor = real.openat(at, name, flags, permissions);
  int error = errno;
  if (descriptor >= 0) {
    int created = !existed && (flags & O_CREAT);
    opened(descriptor, path, created);
    if (created) add_change(kCreated, path, "", "");
    if ((created || saved_truncation) && is_last_point()) die();
  }
  unlock();
  errno = error;
  return descriptor;
}

static mode_t permissions_of(int flags, va_list arguments) {
  return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t permissions = permissions_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, name, flags, permissions);
}

int open64(const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t permissions = permissions_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, name, flags, permissions);
}

int openat(int at, const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t permissions = permissions_of(flags, arguments);
  va_end(arguments);
  return open_at(at, name, flags, permissions);
}

int openat64(int at, const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t permissions = permissions_of(flags, arguments);
  va_end(arguments);
  return open_at(at, name, flags, permissions);
}

int creat(const char* name, mode_t permissions) {
  return open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, permissions);
}

int close(int descriptor) {
  if (disk.active && descriptor >= 0 && descriptor < kMaxDescriptors) {
    __atomic_store_n(&disk.by_descriptor[descriptor], NULL, __ATOMIC_RELEASE);
    char* directory = __atomic_exchange_n(&disk.directories[descriptor], NULL, __ATOMIC_ACQ_REL);
    free(directory);
  }
  return real.close(descriptor);
}

static int rename_at(int from_at, const char* from_name, int to_at, const char* to_name,
                     int (*rename_them)(int, const char*, int, const char*)) {
  char from[PATH_MAX], to[PATH_MAX], hidden[PATH_MAX];
  if (!disk.active || !absolute(from_at, from_name, from) || !absolute(to_at, to_name, to) ||
      !is_ours(to))
    return rename_them(from_at, from_name, to_at, to_name);
  lock();
  hide(to, hidden);
  int result = rename_them(from_at, from_name, to_at, to_name);
  int error = errno;
  if (result == 0) {
    add_change(kRenamed, to, from, hidden);
    if (is_last_point()) die();
  } else if (hidden[0]) {
    real.unlink(hidden);
  }
  unlock();
  errno = error;
  return result;
}

static int plain_rename(int from_at, const char* from, int to_at, const char* to) {
  static int (*next)(int, const char*, int, const char*);
  if (!next) next = find("renameat");
  return next(from_at, from, to_at, to);
}

int rename(const char* from, const char* to) {
  return rename_at(AT_FDCWD, from, AT_FDCWD, to, plain_rename);
}

int renameat(int from_at, const char* from, int to_at, const char* to) {
  return rename_at(from_at, from, to_at, to, plain_rename);
}

static int unlink_at(int at, const char* name, int flags) {
  char path[PATH_MAX], hidden[PATH_MAX];
  if (!disk.active || (flags & AT_REMOVEDIR) || !absolute(at, name, path) || !is_ours(path))
    return real.unlinkat(at, name, flags);
  lock();
  hide(path, hidden);
  int result = real.unlinkat(at, name, flags);
  int error = errno;
  if (result == 0) {
    add_change(kRemoved, path, "", hidden);
    if (is_last_point()) die();
  } else if (hidden[0]) {
    real.unlink(hidden);
  }
  unlock();
  errno = error;
  return result;
}

int unlink(const char* name) {
  return unlink_at(AT_FDCWD, name, 0);
}
int unlinkat(int at, const char* name, int flags) {
  return unlink_at(at, name, flags);
}

// ---- data -----------------------------------------------------------------------------------

ssize_t pwrite(int descriptor, const void* data, size_t length, off_t offset) {
  struct file* file = file_of(descriptor);
  if (!file) return real.pwrite(descriptor, data, length, offset);
  lock();
  remember(file, offset, (off_t)length);
  int last = is_last_point();
  if (last && disk.mode == kTorn) length /= 2;
  ssize_t result = real.pwrite(descriptor, data, length, offset);
  if (last) die();
  unlock();
  return result;
}

ssize_t pwrite64(int descriptor, const void* data, size_t length, off_t offset) {
  return pwrite(descriptor, data, length, offset);
}

ssize_t write(int descriptor, const void* data, size_t length) {
  struct file* file = file_of(descriptor);
  if (!file) return real.write(descriptor, data, length);
  lock();
  int flags = fcntl(descriptor, F_GETFL);
  off_t offset = flags & O_APPEND ? size_of(descriptor) : lseek(descriptor, 0, SEEK_CUR);
  remember(file, offset, (off_t)length);
  int last = is_last_point();
  if (last && disk.mode == kTorn) length /= 2;
  ssize_t result = real.write(descriptor, data, length);
  if (last) die();
  unlock();
  return result;
}

ssize_t writev(int descriptor, const struct iovec* parts, int count) {
  struct file* file = file_of(descriptor);
  if (!file) return real.writev(descriptor, parts, count);
  ssize_t total = 0;
  for (int i = 0; i < count; ++i) {
    ssize_t written = write(descriptor, parts[i].iov_base, parts[i].iov_len);
    if (written < 0) return total ? total : written;
    total += written;
  }
  return total;
}

int ftruncate(int descriptor, off_t length) {
  struct file* file = file_of(descriptor);
  if (!file) return real.ftruncate(descriptor, length);
  lock();
  off_t size = size_of(descriptor);
  remember(file, length, size - length);  // what is cut off may come back
  int result = real.ftruncate(descriptor, length);
  int error = errno;
  if (is_last_point()) die();
  unlock();
  errno = error;
  return result;
}

int ftruncate64(int descriptor, off_t length) {
  return ftruncate(descriptor, length);
}

int truncate(const char* name, off_t length) {
  int descriptor = open(name, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return -1;
  int result = ftruncate(descriptor, length);
  int error = errno;
  close(descriptor);
  errno = error;
  return result;
}

int truncate64(const char* name, off_t length) {
  return truncate(name, length);
}

int posix_fallocate(int descriptor, off_t offset, off_t length) {
  struct file* file = file_of(descriptor);
  if (!file) return real.posix_fallocate(descriptor, offset, length);
  lock();
  // Only the size matters to the model; the space itself would cost every run its zeros.
  int result =
      size_of(descriptor) >= offset + length || real.ftruncate(descriptor, offset + length) == 0
          ? 0
          : errno;
  if (is_last_point()) die();
  unlock();
  return result;
}

int posix_fallocate64(int descriptor, off_t offset, off_t length) {
  return posix_fallocate(descriptor, offset, length);
}

static int sync_descriptor(int descriptor, int (*next)(int)) {
  if (!disk.active || descriptor < 0 || descriptor >= kMaxDescriptors) return next(descriptor);
  struct file* file = file_of(descriptor);
  lock();
  const char* directory = disk.directories[descriptor];
  if (!file && !directory) {
    unlock();
    return next(descriptor);
  }
  if (is_last_point()) die();
  if (file)
    forget(file);
  else
    sync_directory(directory);
  unlock();
  return 0;
}

int fsync(int descriptor) {
  return sync_descriptor(descriptor, real.fsync);
}
int fdatasync(int descriptor) {
  return sync_descriptor(descriptor, real.fdatasync);
}

// ---- life -----------------------------------------------------------------------------------

static void stop_following(void) {
  disk.active = 0;
}

__attribute__((constructor)) static void begin(void) {
  real.open = find("open");
  real.openat = find("openat");
  real.close = find("close");
  real.write = find("write");
  real.writev = find("writev");
  real.pwrite = find("pwrite");
  real.pread = find("pread");
  real.ftruncate = find("ftruncate");
  real.truncate = find("truncate");
  real.posix_fallocate = find("posix_fallocate");
  real.fsync = find("fsync");
  real.fdatasync = find("fdatasync");
  real.rename = find("rename");
  real.unlink = find("unlink");
  real.unlinkat = find("unlinkat");

  const char* under = getenv("POWER_LOSS_UNDER");
  if (!under) return;
  const char* mode = getenv("POWER_LOSS_MODE");
  const char* at = getenv("POWER_LOSS_AT");
  const char* seed = getenv("POWER_LOSS_SEED");
  snprintf(disk.under, sizeof disk.under, "%s", under);
  snprintf(disk.hiding_place, sizeof disk.hiding_place, "%.4000s.hidden", under);
  disk.mode = !mode || strcmp(mode, "kill") == 0 ? kKill
              : strcmp(mode, "torn") == 0        ? kTorn
                                                 : kPower;
  disk.at = at ? atol(at) : 0;
  disk.random = (seed ? strtoull(seed, NULL, 10) : 1) * 0x9E3779B97F4A7C15ULL + 1;
  for (int i = 0; i < 8; ++i) next_random();
  unsetenv("LD_PRELOAD");  // children are programs of their own
  pthread_atfork(NULL, NULL, stop_following);
  disk.active = 1;
}

__attribute__((destructor)) static void end(void) {
  if (!disk.active) return;
  disk.active = 0;
  for (struct change* change = disk.changes; change; change = change->older)
    if (change->hidden[0]) real.unlink(change->hidden);
  const char* report = getenv("POWER_LOSS_REPORT");
  FILE* file = report ? fopen(report, "w") : NULL;
  if (!file) return;
  fprintf(file, "%ld\n", disk.points);
  fclose(file);
}
