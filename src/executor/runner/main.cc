// perdure-runner: what runs inside a sandbox, a small static program embedded in the server's.
//
//   perdure-runner launch                 build a sandbox by the plan on descriptor 3, serve in it
//   perdure-runner serve ROOT…            serve as it is, for tests and for hosts without a sandbox
//   perdure-runner probe NAME             try one thing that a sandbox needs (probe.h)
//
// Descriptor 4 is the control socket.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "executor/runner/launch.h"
#include "executor/runner/probe.h"
#include "executor/runner/server.h"

int main(int argc, char** argv) {
  using namespace perdure::executor::runner;
  constexpr int kChannel = 3, kControl = 4;
  // Whatever else the server has open is none of ours.
  ::syscall(SYS_close_range, kControl + 1, ~0U, 0);
  if (argc == 2 && std::strcmp(argv[1], "launch") == 0) return launch(kChannel, kControl);
  ::close(kChannel);
  if (argc == 3 && std::strcmp(argv[1], "probe") == 0) return probe(argv[2]);
  if (argc >= 3 && std::strcmp(argv[1], "serve") == 0)
    return serve({kControl, std::vector<std::string>(argv + 2, argv + argc)});
  std::fputs("perdure-runner: started by perdure, not by hand\n", stderr);
  return 2;
}
