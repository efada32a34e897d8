#include "executor/native/mark.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "executor/executor_test_support.h"

namespace perdure::executor::native {
namespace {

using testing::Scratch;

/// A process of ours that only waits.
pid_t make_process() {
  pid_t process = ::fork();
  if (process == 0) {
    while (true) ::pause();
  }
  return process;
}

TEST(MarkTest, AMarkedProcessIsEndedAndItsDirectoryRemoved) {
  Scratch scratch;
  pid_t process = make_process();
  ASSERT_TRUE(write_mark(scratch / "env", {process, start_time(process), boot_id(), {}}));
  // Collected at once, as the system does it with orphans.
  ::signal(SIGCHLD, SIG_IGN);
  auto cleaned = clean_up_all(scratch.path());
  ::signal(SIGCHLD, SIG_DFL);
  EXPECT_EQ(cleaned.value_or(-1), 1);
  EXPECT_EQ(::kill(process, 0), -1);
  EXPECT_FALSE(std::filesystem::exists(scratch / "env"));
}

TEST(MarkTest, AProcessThatHasOnlyTheNumberIsLeftAlone) {
  Scratch scratch;
  pid_t process = make_process();
  ASSERT_TRUE(write_mark(scratch / "other", {process, start_time(process) + 1, boot_id(), {}}));
  ASSERT_TRUE(write_mark(scratch / "boot", {process, start_time(process), "another boot", {}}));
  EXPECT_EQ(clean_up_all(scratch.path()).value_or(-1), 2);
  EXPECT_EQ(::waitpid(process, nullptr, WNOHANG), 0);
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
}

TEST(MarkTest, AHalfWrittenMarkIsNoReasonToStop) {
  Scratch scratch;
  std::filesystem::create_directory(scratch / "env");
  std::ofstream(scratch / "env/mark") << "{\"proc";
  EXPECT_EQ(clean_up_all(scratch.path()).value_or(-1), 1);
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

}  // namespace
}  // namespace perdure::executor::native
