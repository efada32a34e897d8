// Attacks from inside a sandbox (tests/sandbox/attacks.cc), each with its oracle: the same attack
// outside, where nothing defends against it, must work. An oracle that needs root is not asked for
// without it, and says so.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <fstream>

#include "executor/native/sandbox_test_support.h"

namespace perdure::executor::native {
namespace {

using ::testing::HasSubstr;
using testing::SandboxTest;
using testing::Scratch;

constexpr int kWorked = 0, kRefused = 1;

/// The program with the attacks; a run as another user has a copy where that may read it.
std::string attacks_file() {
  const char* copy = std::getenv("PERDURE_ATTACKS_COPY");
  return copy ? copy : PERDURE_ATTACKS;
}

enum class Oracle {
  kPlain,    ///< the same command outside
  kRoot,     ///< outside, and only root can
  kStandIn,  ///< on something of the attack's own, such as a namespace that it makes
  kNone,     ///< stated in `why`
};

struct Attack {
  std::string name;
  std::string argument;  ///< inside
  Oracle oracle = Oracle::kPlain;
  std::string outside;  ///< the oracle's argument; empty: the same
  std::string why;
};

class EscapesTest : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (IsSkipped()) return;
    std::ifstream file(attacks_file(), std::ios::binary);
    std::string program(std::istreambuf_iterator<char>(file), {});
    ASSERT_FALSE(program.empty());
    ASSERT_TRUE(loop_.run(client().write_file("/workspace/attacks", program)));
    ASSERT_EQ(run("chmod +x attacks").exit_code, 0);
  }

  Said inside(const std::string& name, const std::string& argument) {
    return run("cd /tmp && /workspace/attacks " + name + " '" + argument + "'");
  }
  /// In a directory that goes, with hard limits and little time: what it does must not hurt the
  /// machine.
  int outside(const std::string& arguments) {
    Scratch scratch;
    std::string command =
        "cd " + scratch.path() + " && ulimit -v 4194304 && ulimit -f 4194304 && " +
        "exec timeout -s KILL 60 " + attacks_file() + " " + arguments + " >/dev/null 2>&1";
    int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void try_all(const std::vector<Attack>& attacks) {
    for (const Attack& attack : attacks) {
      SCOPED_TRACE(attack.name + " " + attack.argument);
      const std::string& argument = attack.outside.empty() ? attack.argument : attack.outside;
      bool root = ::geteuid() == 0;
      if (attack.oracle == Oracle::kNone || (attack.oracle == Oracle::kRoot && !root)) {
        std::printf("no oracle for %s: %s\n", attack.name.c_str(),
                    attack.oracle == Oracle::kNone ? attack.why.c_str() : "it needs root");
      } else {
        bool stand_in = attack.oracle == Oracle::kStandIn;
        EXPECT_EQ(outside((stand_in ? "--stand-in " : "") + attack.name + " '" + argument + "'"),
                  kWorked)
            << "the oracle: it does not work outside either";
      }
      Said said = inside(attack.name, attack.argument);
      EXPECT_EQ(said.exit_code, kRefused) << said.text;
    }
    EXPECT_EQ(run("echo alive").text, "alive\n");
  }
};

TEST_F(EscapesTest, TheKernelsLargeDoorsAreShut) {
  try_all({
      {"mount", "", Oracle::kStandIn},
      {"remount", "", Oracle::kStandIn},
      {"umount", "", Oracle::kStandIn},
      {"fsopen", "", Oracle::kStandIn},
      {"unshare-user", ""},
      {"unshare-net", "", Oracle::kStandIn},
      {"clone-user", ""},
      {"clone3-user", ""},
      {"setns", "", Oracle::kStandIn},
      {"chroot", "", Oracle::kStandIn},
      {"sethostname", "", Oracle::kStandIn},
      {"io-uring", ""},
      {"bpf", "", Oracle::kRoot},
      {"perf", "", Oracle::kRoot},
      {"userfaultfd", ""},
      {"keyring", ""},
      {"keyctl", ""},
      {"personality", ""},
      {"memfd-secret", "", Oracle::kNone, "", "kernels may have it switched off"},
      {"clock", "", Oracle::kRoot},
      {"handle", ""},
  });
}

TEST_F(EscapesTest, CallsOfAnotherTableEndTheProcess) {
#if defined(__x86_64__)
  Said said = inside("other-table", "");
  EXPECT_EQ(said.exit_code, kRefused) << said.text;
  int oracle = outside("other-table");
  if (oracle != kWorked) GTEST_SKIP() << "no oracle: this kernel has no 32-bit calls";
#endif
}

TEST_F(EscapesTest, OtherProcessesAreOutOfReach) {
  try_all({
      {"ptrace", ""},
      {"read-process", ""},
      {"steal-descriptor", ""},
      {"kcmp", ""},
      {"parent-memory", "", Oracle::kStandIn},
      {"parent-descriptors", "", Oracle::kStandIn},
      {"parent-environment", "", Oracle::kStandIn},
      {"parent-program", "", Oracle::kStandIn},
      {"kill", std::to_string(::getpid())},
      {"kill-init", "", Oracle::kNone, "", "outside it would try to kill the machine's init"},
      {"affinity", ""},
      {"raise-limit", "", Oracle::kNone, "",
       "outside there may be no limit, or no right to raise it"},
      {"realtime", "", Oracle::kRoot},
      {"nice", "", Oracle::kRoot},
  });
}

TEST_F(EscapesTest, NoProcessOfTheHostIsSeen) {
  // The runner, the shell, and those of the command itself.
  Said said = run("ls -d /proc/[0-9]* | wc -l");
  EXPECT_LE(std::stoi(said.text), 5) << said.text;
  Said all = run("kill -9 -1; echo not reached");
  EXPECT_EQ(run("echo alive").text, "alive\n") << all.text;
}

TEST_F(EscapesTest, TheHostsFilesAreNeitherReadNorChanged) {
  Scratch scratch;
  std::ofstream(scratch / "secret") << "secret";
  try_all({
      {"read", scratch / "secret"},
      {"read", "/etc/shadow", Oracle::kRoot},
      {"exists", "/etc/machine-id", Oracle::kNone, "", "not every host has it"},
      {"exists", "/sys/kernel"},
      {"exists", "/dev/shm/../mem", Oracle::kNone, "", "not every host has it"},
      {"exists", "/dev/kmsg", Oracle::kNone, "", "not every host has it"},
      {"exists", "/var/lib"},
      {"exists", attacks_file()},
      {"create", "/usr/perdure-test", Oracle::kPlain, scratch / "made"},
      {"create", "/etc/perdure-test", Oracle::kPlain, scratch / "made"},
      {"create", "/perdure-test", Oracle::kPlain, scratch / "made"},
      {"create", "/dev/perdure-test", Oracle::kPlain, scratch / "made"},
      {"mknod", "/tmp", Oracle::kRoot, scratch.path()},
      {"hard-link", "/workspace", Oracle::kNone, "", "made with two file systems, which see below"},
      {"set-uid", "", Oracle::kPlain},
      {"capabilities", "", Oracle::kRoot},
  });
}

TEST_F(EscapesTest, ProcTellsNothingOfTheMachineAndTakesNothing) {
  try_all({
      {"read", "/proc/kallsyms"},
      {"read", "/proc/cmdline"},
      {"read", "/proc/modules", Oracle::kNone, "", "empty on a kernel without modules"},
      {"read", "/proc/keys", Oracle::kNone, "", "empty where nobody has keys"},
      {"read", "/proc/timer_list", Oracle::kRoot},
      {"read", "/proc/kcore", Oracle::kNone, "", "not every kernel has it"},
      {"open-write", "/proc/sys/kernel/hostname", Oracle::kRoot},
      {"open-write", "/proc/sys/kernel/core_pattern", Oracle::kRoot},
      {"open-write", "/proc/sysrq-trigger", Oracle::kNone, "",
       "opening it would be enough to worry"},
  });
}

/// A listener of the test on the host.
class Listener {
 public:
  explicit Listener(int family) : socket_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (family == AF_INET) {
      sockaddr_in where{};
      where.sin_family = AF_INET;
      where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof where;
      if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&where), size) != 0) std::abort();
      ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&where), &size);
      name_ = std::to_string(ntohs(where.sin_port));
    } else {
      sockaddr_un where{};
      where.sun_family = AF_UNIX;
      name_ = "perdure-escape-" + std::to_string(::getpid());
      std::copy(name_.begin(), name_.end(), where.sun_path + 1);
      auto size = static_cast<socklen_t>(sizeof(sa_family_t) + 1 + name_.size());
      if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&where), size) != 0) std::abort();
    }
    ::listen(socket_.get(), 8);
  }
  const std::string& name() const { return name_; }

 private:
  runner::Descriptor socket_;
  std::string name_;
};

TEST_F(EscapesTest, ThereIsNoWayOut) {
  Listener tcp(AF_INET), abstract(AF_UNIX);
  try_all({
      {"tcp", tcp.name()},
      {"abstract", abstract.name()},
      {"metadata", "", Oracle::kStandIn},
      {"dns", "", Oracle::kStandIn},
      {"interface", "", Oracle::kStandIn},
      {"vsock", "", Oracle::kNone, "", "not every kernel has it"},
      {"packet", "", Oracle::kRoot},
      {"algorithm", "", Oracle::kNone, "", "not every kernel has it"},
      {"netlink", ""},
      {"high-bits", ""},
      {"raw", "", Oracle::kRoot},
      {"terminal-input", "", Oracle::kNone, "", "newer kernels refuse it to everybody"},
  });
}

TEST_F(EscapesTest, NobodyTakesMoreThanTheirShare) {
  try_all({
      {"processes", "300"},
      {"memory", "1200"},
      {"descriptors", "5000", Oracle::kPlain, "300"},
      {"fill-tmp", "160"},
      {"fill-home", "600", Oracle::kNone, "", "as fill-tmp, in the other file system"},
      {"inodes", "60000"},
  });
}

TEST_F(EscapesTest, ABombOfProcessesEndsWithItsCommand) {
  // In the sandbox only, whose limits are the ones that are tested.
  Command bomb = in_sandbox("bomb() { bomb | bomb & }; bomb; sleep 60");
  bomb.timeout_ms = 1'500;
  auto finished = loop_.run(client().run(bomb, nullptr, {}));
  EXPECT_TRUE(loop_.run(environment_->destroy()));
  EXPECT_EQ(environment_->ended(), EndReason::kDestroyed);
}

TEST_F(EscapesTest, AFloodOfOutputStaysBounded) {
  std::uint64_t seen = 0;
  Command flood = in_sandbox("head -c 100000000 /dev/zero");
  auto finished = loop_.run(
      client().run(flood, [&](OutputStream, std::string_view bytes) { seen += bytes.size(); }, {}));
  ASSERT_TRUE(finished) << finished.error().message;
  EXPECT_EQ(seen, 100'000'000U);
  EXPECT_LE(finished->output.head().size() + finished->output.tail().size(),
            kOutputHeadBytes + kOutputTailBytes);
}

TEST_F(EscapesTest, FileCallsDoNotLeaveTheWorkspaceOverLinks) {
  ASSERT_EQ(run("ln -s /etc etc; ln -s /etc/passwd link; ln -s /etc/perdure-stand-in new; "
                "ln -s /proc/1 init; mkfifo pipe; ln -s . loop")
                .exit_code,
            0);
  EXPECT_THAT(run("cat link").text, HasSubstr("user"));  // the oracle: the link works inside
  for (std::string path :
       {"/workspace/link", "/workspace/etc/passwd", "/workspace/init/status",
        "/workspace/../etc/passwd", "/etc/passwd", "/proc/1/mem", "/workspace/pipe"})
    EXPECT_FALSE(loop_.run(client().read_file(path))) << path;
  // Written are only files that no system has: where a wall is missing, nothing of value is lost.
  for (std::string path :
       {"/workspace/new", "/workspace/etc/perdure-stand-in", "/workspace/../etc/perdure-stand-in",
        "/etc/perdure-stand-in", "/workspace/init/perdure-stand-in", "/workspace/pipe"})
    EXPECT_FALSE(loop_.run(client().write_file(path, "x"))) << path;
  EXPECT_TRUE(loop_.run(client().list("/workspace/loop/loop/loop")));
}

TEST_F(EscapesTest, AHardLinkToTheSystemIsRefused) {
  EXPECT_NE(run("ln /usr/bin/env env").exit_code, 0);
  EXPECT_EQ(run("ln attacks again").exit_code, 0);  // the oracle: links within are possible
}

// --- all of it once more
// ---------------------------------------------------------------------------

TEST(UnprivilegedTest, EverythingHoldsForAnOrdinaryUserToo) {
  if (::geteuid() != 0) GTEST_SKIP() << "this run is an ordinary user's already";
  Scratch scratch;
  std::filesystem::copy_file("/proc/self/exe", scratch / "test");
  std::filesystem::copy_file(PERDURE_ATTACKS, scratch / "attacks");
  std::filesystem::permissions(scratch.path(), std::filesystem::perms::all);
  pid_t child = ::fork();
  if (child == 0) {
    constexpr id_t kNobody = 65534;
    std::string test = scratch / "test", attacks = scratch / "attacks";
    ::setenv("TMPDIR", scratch.path().c_str(), 1);
    ::setenv("PERDURE_ATTACKS_COPY", attacks.c_str(), 1);
    ::unsetenv("GTEST_OUTPUT");
    if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
        ::setresuid(kNobody, kNobody, kNobody) != 0 || ::chdir(scratch.path().c_str()) != 0)
      ::_exit(99);
    ::execl(test.c_str(), test.c_str(), "--gtest_brief=1",
            "--gtest_filter=NativeDriverTest.*:EscapesTest.*:LeftoversTest.*", nullptr);
    ::_exit(98);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace perdure::executor::native
