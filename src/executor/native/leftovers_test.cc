// A server that is killed: what it leaves behind, and what the next one does about it.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>

#include "executor/native/mark.h"
#include "executor/native/sandbox_test_support.h"
#include "executor/native/small_files.h"

namespace perdure::executor::native {
namespace {

using testing::Loop;
using testing::SandboxTest;
using testing::Scratch;
using testing::shell;

class LeftoversTest : public SandboxTest {};

/// What stands for a server: makes a sandbox with processes in it, says so, and waits to be killed.
[[noreturn]] void be_a_server(const std::string& directory, int report) {
  Loop loop;
  SystemEnv env;
  auto driver = NativeDriver::make(loop.executor(), env, {directory});
  if (!driver) ::_exit(1);
  auto environment = loop.run((*driver)->provision({"env-1", Size::kSmall}));
  if (!environment) ::_exit(2);
  ExecutorClient client(loop.executor(), [&] { return (*environment)->connect(); });
  auto finished = loop.run(
      client.run(shell("p", "setsid sleep 1000 & setsid sleep 1000 & echo started", "/workspace"),
                 nullptr, {}));
  if (!finished) ::_exit(3);
  if (::write(report, "x", 1) != 1) ::_exit(4);
  while (true) ::pause();
}

TEST_F(LeftoversTest, AKilledServersSandboxesDieWithItAndTheNextRemovesTheRest) {
  driver_.reset();  // its lock would go along
  Scratch scratch;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  pid_t server = ::fork();
  if (server == 0) be_a_server(scratch.path(), ends[1]);
  ::close(ends[1]);
  char byte = 0;
  ASSERT_EQ(::read(ends[0], &byte, 1), 1) << "the server did not come up";
  ::close(ends[0]);

  auto mark = parse_json(*read_small_file(scratch / "env-1/mark"));
  ASSERT_TRUE(mark);
  const json::object& object = mark->get_object();
  auto init = static_cast<pid_t>(get_int(object, "process"));
  runner::Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, init, 0)));
  ASSERT_TRUE(handle);
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  pollfd waited{handle.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&waited, 1, 30'000), 1) << "the sandbox outlived its server";

  Loop loop;
  auto next = NativeDriver::make(loop.executor(), env_, {scratch.path()});
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_EQ((*next)->found_at_start(), 1);
  EXPECT_FALSE(std::filesystem::exists(scratch / "env-1"));
  for (const json::value& group : get_array(object, "groups"))
    EXPECT_FALSE(std::filesystem::exists(std::string(as_view(group.get_string()))));
}

}  // namespace
}  // namespace perdure::executor::native
