// Builds the sandbox around itself and serves in it: the first process of its namespaces.
//
// Two processes. The *launcher* is the server's child, outside: it clones the *init* into new
// namespaces (as its sibling, so that the server is the parent of both), writes its id maps, tells
// the server "pid N" and ends. The init waits for one byte from the server, which has meanwhile put
// it into its control groups, carries out the plan, gives up every right it has, says "ready", and
// becomes the runner (server.h). Anything that fails is told as "error …" with the step, and ends
// it: a sandbox that lacks one of its walls does not start.
//
// The steps (src/executor/native/view.h makes them), in order; paths below are relative to the new
// root:
//   ids INSIDE_UID OUTSIDE_UID INSIDE_GID OUTSIDE_GID   hostname NAME      loopback
//   root SIZE INODES                  a new root directory (memory), in which the rest is made
//   directory PATH MODE               symlink TEXT PATH  file PATH MODE CONTENT
//   tmpfs PATH SIZE INODES MODE       bind SOURCE PATH   read-only view of something of the host
//   device NAME                       proc   devpts      mask PATH          readonly PATH
//   enter                             the new root becomes the root, read-only; the old one is gone
//   limit NAME SOFT HARD              cpus N START       N of the allowed processors
//   landlock PATH RIGHTS …            pairs: x read and execute, r read, w all, p and d as /proc
//   and /dev need seccomp PROGRAM …                 filters, raw BPF serve ROOT …
#pragma once

namespace perdure::executor::runner {

/// `channel` carries the plan and the reports, `control` is what the runner will be served through.
/// The status for exit().
int launch(int channel, int control);

}  // namespace perdure::executor::runner
