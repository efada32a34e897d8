// Holds a program's flushes, or fails them, as an LD_PRELOAD library: works on the unmodified
// binary.
//
// While the file GATE_DIR/hold exists, fsync and fdatasync do not return; the first one that waits
// makes GATE_DIR/held. Whatever leaves the process in that time left before its commit. While
// GATE_DIR/fail exists, they fail as those of a broken disk do.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char hold_path[4096];
static char held_path[4096];
static char fail_path[4096];
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
  const char* directory = getenv("GATE_DIR");
  real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (!directory || !real_fsync || !real_fdatasync) abort();
  snprintf(hold_path, sizeof hold_path, "%s/hold", directory);
  snprintf(held_path, sizeof held_path, "%s/held", directory);
  snprintf(fail_path, sizeof fail_path, "%s/fail", directory);
}

static void wait_at_the_gate(void) {
  if (access(hold_path, F_OK) != 0) return;
  int held = open(held_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (held >= 0) close(held);
  while (access(hold_path, F_OK) == 0) usleep(1000);
}

static int broken(void) {
  if (access(fail_path, F_OK) != 0) return 0;
  errno = EIO;
  return 1;
}

int fsync(int descriptor) {
  wait_at_the_gate();
  return broken() ? -1 : real_fsync(descriptor);
}

int fdatasync(int descriptor) {
  wait_at_the_gate();
  return broken() ? -1 : real_fdatasync(descriptor);
}
