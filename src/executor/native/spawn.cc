#include "executor/native/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <memory>

namespace perdure::executor::native {
namespace {

namespace asio = boost::asio;
using runner::Descriptor;

/// Above the numbers that the child wants for others.
Descriptor lifted(int number) {
  return Descriptor(::fcntl(number, F_DUPFD_CLOEXEC, 10));
}

}  // namespace

Result<Spawned> spawn_runner(int image, const std::vector<std::string>& arguments, int channel,
                             int control, int output) {
  Descriptor program = lifted(image), lifted_channel = lifted(channel),
             lifted_control = lifted(control), lifted_output = lifted(output);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  for (int number = 0; number < 3; ++number) {
    if (number > 0 && lifted_output)
      ::posix_spawn_file_actions_adddup2(&actions, lifted_output.get(), number);
    else
      ::posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0);
  }
  if (lifted_channel) ::posix_spawn_file_actions_adddup2(&actions, lifted_channel.get(), 3);
  if (lifted_control) ::posix_spawn_file_actions_adddup2(&actions, lifted_control.get(), 4);
  sigset_t all, none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                              static_cast<short>(POSIX_SPAWN_SETSID));
  std::vector<std::string> words = {"perdure-runner"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  std::string path = fmt::format("/proc/self/fd/{}", program.get());
  Spawned spawned;
  int error = ::posix_spawn(&spawned.process, path.c_str(), &actions, &attributes, argv.data(),
                            environment);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return fail(ErrorCode::kUnavailable,
                fmt::format("the runner cannot be started: {}", std::strerror(error)));
  spawned.handle.reset(static_cast<int>(::syscall(SYS_pidfd_open, spawned.process, 0)));
  if (!spawned.handle) {
    error = errno;
    ::kill(spawned.process, SIGKILL);
    ::waitpid(spawned.process, nullptr, 0);
    return fail(ErrorCode::kUnavailable, fmt::format("pidfd_open: {}", std::strerror(error)));
  }
  return spawned;
}

async::Task<int> wait_for_end(async::Executor executor, Descriptor handle) {
  asio::posix::stream_descriptor watched(executor, handle.release());
  siginfo_t information{};
  while (true) {
    auto [error] = co_await watched.async_wait(asio::posix::stream_descriptor::wait_read,
                                               asio::as_tuple(asio::use_awaitable));
    int waited =
        ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(watched.native_handle()),
                 &information, WEXITED | WNOHANG | __WALL);
    if (waited != 0 || information.si_pid != 0 || error) break;
  }
  co_return information.si_code == CLD_EXITED ? information.si_status : 128 + information.si_status;
}

}  // namespace perdure::executor::native
