// The client against the real runner, without a sandbox around it.
#include "executor/client.h"

#include <gmock/gmock.h>

#include <csignal>

#include "executor/executor_test_support.h"

namespace perdure::executor {
namespace {

using testing::BareRunner;
using ::testing::HasSubstr;
using testing::Loop;
using testing::shell;

class ClientTest : public ::testing::Test {
 protected:
  Loop loop_;
  BareRunner runner_{loop_};
  std::optional<ExecutorClient> client_{std::in_place, loop_.executor(), runner_.dial()};

  Command command(std::string script) {
    return shell("process-" + std::to_string(++last_), std::move(script), runner_.home());
  }
  Result<ExecutorClient::Finished> run(Command command, OutputSink sink = nullptr,
                                       async::CancelToken cancel = {}) {
    return loop_.run(client_->run(std::move(command), std::move(sink), cancel));
  }
  int last_ = 0;
};

TEST_F(ClientTest, SaysWhoItIs) {
  auto hello = loop_.run(client_->hello());
  ASSERT_TRUE(hello) << hello.error().message;
  EXPECT_EQ(hello->home, runner_.home());
  EXPECT_THAT(hello->shell, HasSubstr("sh"));
}

TEST_F(ClientTest, RunsACommandAndKeepsItsStreamsApart) {
  std::string out, err;
  auto finished = run(command("echo out; echo err >&2; pwd; exit 3"),
                      [&](OutputStream stream, std::string_view bytes) {
                        (stream == OutputStream::kStdout ? out : err) += bytes;
                      });
  ASSERT_TRUE(finished) << finished.error().message;
  EXPECT_EQ(finished->exit_code, 3);
  EXPECT_EQ(out, "out\n" + std::filesystem::canonical(runner_.home()).string() + "\n");
  EXPECT_EQ(err, "err\n");
  EXPECT_EQ(finished->output.total(), out.size() + err.size());
}

TEST_F(ClientTest, NothingOfOursIsInItsEnvironmentOrItsDescriptors) {
  auto finished = run(command("env; ls -l /proc/self/fd | wc -l"));
  ASSERT_TRUE(finished);
  // "total", three streams, and the one that ls has for the directory.
  EXPECT_THAT(finished->output.text(),
              ::testing::MatchesRegex("(PWD|PATH|_|SHLVL|OLDPWD)=[^\n]*\n"
                                      "((PWD|PATH|_|SHLVL|OLDPWD)=[^\n]*\n)*5\n"));
}

TEST_F(ClientTest, ASignalsEndIs128AndItsNumber) {
  EXPECT_EQ(run(command("kill -KILL $$"))->exit_code, 137);
}

TEST_F(ClientTest, WhatCannotStartSaysWhy) {
  Command missing = command("");
  missing.argv = {"no-such-program"};
  auto finished = run(missing);
  ASSERT_FALSE(finished);
  EXPECT_THAT(finished.error().message, HasSubstr("cannot run no-such-program: No such file"));
  Command nowhere = command("true");
  nowhere.cwd = "/nowhere";
  EXPECT_THAT(run(nowhere).error().message, HasSubstr("/nowhere cannot be entered"));
  Command again = command("true");
  ASSERT_TRUE(run(again));
  EXPECT_THAT(run(again).error().message, HasSubstr("in use"));
}

TEST_F(ClientTest, ALateCommandIsEndedWithItsGroup) {
  Command late = command("sleep 1000 & trap '' TERM; sleep 1000; sleep 1000");
  late.timeout_ms = 100;
  auto finished = run(late);
  ASSERT_TRUE(finished) << finished.error().message;
  EXPECT_TRUE(finished->timed_out);
  EXPECT_GE(finished->exit_code, 128);
}

TEST_F(ClientTest, ACancelledCommandIsEnded) {
  async::CancelSource source;
  auto finished = run(
      command("echo started; sleep 1000"), [&](OutputStream, std::string_view) { source.cancel(); },
      source.token());
  ASSERT_TRUE(finished);
  EXPECT_TRUE(finished->cancelled);
  EXPECT_EQ(finished->exit_code, 143);
}

TEST_F(ClientTest, AProcessThatWasLeftBehindDoesNotHoldTheAnswerUp) {
  auto finished = run(command("sleep 1000 & echo $!"));
  ASSERT_TRUE(finished);
  pid_t left = std::stoi(finished->output.text());
  // Outside a sandbox nothing else ends it.
  EXPECT_EQ(::kill(left, SIGKILL), 0);
}

async::Task<Result<std::string>> talk(ExecutorClient* client, Command command) {
  CO_TRY(process, co_await client->start(std::move(command), nullptr));
  CO_TRY(written, co_await process->write("one\ntwo\n"));
  if (written != WriteStatus::kAccepted) co_return fail(ErrorCode::kInternal, "not accepted");
  CO_TRY_VOID(co_await process->close_stdin());
  CO_TRY(ended, co_await process->wait(60'000, {}));
  CO_TRY(late, co_await process->write("late"));
  if (!ended || late != WriteStatus::kStdinClosed)
    co_return fail(ErrorCode::kInternal, "not ended");
  co_return process->output().text();
}

TEST_F(ClientTest, StandardInputGoesThereAndEnds) {
  Command sort = command("sort -r");
  sort.pipe_stdin = true;
  EXPECT_EQ(loop_.run(talk(&*client_, sort)).value_or("failed"), "two\none\n");
}

TEST_F(ClientTest, ATerminalIsOne) {
  Command terminal = command("tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo yes");
  terminal.tty = true;
  auto finished = run(terminal);
  ASSERT_TRUE(finished);
  EXPECT_THAT(finished->output.text(), HasSubstr("/dev/pts/"));
  EXPECT_THAT(finished->output.text(), HasSubstr("24 120"));
  EXPECT_THAT(finished->output.text(), HasSubstr("yes"));
}

async::Task<Result<int>> interrupt(ExecutorClient* client, Command command) {
  CO_TRY(process, co_await client->start(std::move(command), nullptr));
  while (process->output().total() == 0) CO_TRY_VOID(co_await process->wait(20, {}));
  CO_TRY_VOID(co_await process->signal(ProcessSignal::kInterrupt));
  CO_TRY_VOID(co_await process->wait(60'000, {}));
  co_return process->exit_code();
}

TEST_F(ClientTest, ASignalReachesTheGroup) {
  EXPECT_EQ(loop_.run(interrupt(&*client_, command("trap 'exit 7' INT; echo ready; sleep 1000")))
                .value_or(-1),
            7);
}

TEST_F(ClientTest, MuchOutputComesWholeAndInOrderToWhoReads) {
  std::uint64_t total = 0, sum = 0;
  auto finished = run(command("seq 1 2000000"), [&](OutputStream, std::string_view bytes) {
    for (char c : bytes) sum = sum * 31 + static_cast<unsigned char>(c);
    total += bytes.size();
  });
  ASSERT_TRUE(finished) << finished.error().message;
  std::uint64_t expected = 0, expected_total = 0;
  for (int i = 1; i <= 2'000'000; ++i) {
    for (char c : std::to_string(i) + "\n") {
      expected = expected * 31 + static_cast<unsigned char>(c);
      ++expected_total;
    }
  }
  EXPECT_EQ(total, expected_total);
  EXPECT_EQ(sum, expected);
  EXPECT_EQ(finished->output.head().size(), kOutputHeadBytes);
  EXPECT_EQ(finished->output.total(), expected_total);
  EXPECT_THAT(std::string(finished->output.tail()), ::testing::EndsWith("2000000\n"));
}

/// Drops the connection again and again while a command talks.
async::Task<Result<std::string>> run_over_drops(ExecutorClient* client, BareRunner* runner,
                                                Command command, int drops) {
  auto all = std::make_shared<std::string>();
  CO_TRY(process, co_await client->start(std::move(command),
                                         [all](OutputStream, std::string_view b) { *all += b; }));
  for (int i = 0; i < drops; ++i) {
    std::size_t before = all->size();
    while (all->size() == before && !process->exited()) CO_TRY_VOID(co_await process->wait(10, {}));
    ::shutdown(runner->last_socket, SHUT_RDWR);
  }
  CO_TRY(ended, co_await process->wait(60'000, {}));
  if (!ended || process->exit_code() != 0) co_return fail(ErrorCode::kInternal, "not ended");
  co_return *all;
}

TEST_F(ClientTest, ADroppedConnectionResumesWhereItWas) {
  auto said = loop_.run(
      run_over_drops(&*client_, &runner_,
                     command("for i in $(seq 1 300); do echo line $i; sleep 0.002; done"), 8));
  ASSERT_TRUE(said) << said.error().message;
  std::string expected;
  for (int i = 1; i <= 300; ++i) expected += "line " + std::to_string(i) + "\n";
  EXPECT_EQ(*said, expected);
  EXPECT_GE(runner_.connections, 5);
}

async::Task<Result<std::string>> come_back(ExecutorClient* client, Command command,
                                           std::uint64_t after) {
  CO_TRY(process, co_await client->follow(std::move(command), after, nullptr));
  CO_TRY_VOID(co_await process->wait(60'000, {}));
  co_return process->output().text() + std::to_string(process->exit_code());
}

TEST_F(ClientTest, AProcessCanBeFollowedFromAPlace) {
  Command said = command("echo one; sleep 0.05; echo two; exit 5");
  ASSERT_TRUE(run(said));
  EXPECT_EQ(loop_.run(come_back(&*client_, said, 0)).value_or(""), "one\ntwo\n5");
  EXPECT_EQ(loop_.run(come_back(&*client_, said, 1)).value_or(""), "two\n5");
  Command unknown = command("");
  EXPECT_FALSE(loop_.run(come_back(&*client_, unknown, 0)));
}

async::Task<Result<void>> keep_files(ExecutorClient* client, std::string home) {
  CO_TRY_VOID(co_await client->create_directory(home + "/a/b", true));
  CO_TRY_VOID(co_await client->write_file(home + "/a/b/ü.txt", "needle\n"));
  CO_TRY(text, co_await client->read_file(home + "/a/b/ü.txt"));
  CO_TRY(entries, co_await client->list(home + "/a/b"));
  CO_TRY(found, co_await client->search(home, "needle", 10));
  CO_TRY(about, co_await client->metadata(home + "/a"));
  CO_TRY_VOID(co_await client->copy(home + "/a", home + "/c", true));
  CO_TRY_VOID(co_await client->open_file("h", home + "/c/b/ü.txt"));
  CO_TRY(block, co_await client->read_block("h", 3, 100));
  CO_TRY_VOID(co_await client->close_file("h"));
  CO_TRY_VOID(co_await client->remove(home + "/a", true, false));
  bool right = text == "needle\n" && entries.size() == 1 && entries[0].name == "ü.txt" &&
               found.matches.size() == 1 && found.matches[0].path == home + "/a/b/ü.txt" &&
               about.is_directory && block.bytes == "dle\n" && block.eof;
  if (!right) co_return fail(ErrorCode::kInternal, "something is not as written");
  co_return Result<void>();
}

TEST_F(ClientTest, KeepsFiles) {
  auto kept = loop_.run(keep_files(&*client_, runner_.home()));
  EXPECT_TRUE(kept) << kept.error().message;
  auto read = loop_.run(client_->read_file(runner_.home() + "/nothing"));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(read.error().message, HasSubstr("/nothing: No such file"));
}

TEST_F(ClientTest, ALargeFileGoesWhole) {
  std::string large(kMaxFileBytes, '\xff');
  ASSERT_TRUE(loop_.run(client_->write_file(runner_.home() + "/large", large)));
  EXPECT_EQ(loop_.run(client_->read_file(runner_.home() + "/large")), large);
  auto too_large = loop_.run(client_->write_file(runner_.home() + "/large", large + "x"));
  EXPECT_EQ(too_large.error().code, ErrorCode::kTooLarge);
}

// --- an executor that is not what it should be ---------------------------------------------------

class HostileStream final : public MessageStream {
 public:
  explicit HostileStream(std::vector<std::string> says) : says_(std::move(says)) {}
  async::Task<Result<std::optional<std::string>>> read() override {
    if (next_ < says_.size()) co_return says_[next_++];
    co_return std::nullopt;
  }
  async::Task<Result<void>> write(std::string) override { co_return Result<void>(); }
  void close() override { next_ = says_.size(); }

 private:
  std::vector<std::string> says_;
  std::size_t next_ = 0;
};

TEST(HostileExecutorTest, WhateverItSaysTheAnswerIsAnError) {
  const std::string hello = R"({"id":1,"result":{"sessionId":"s"}})";
  std::vector<std::vector<std::string>> scripts = {
      {},
      {"{"},
      {std::string(1 << 20, '[')},
      {R"({"id":1,"result":[]})"},
      {R"({"id":1,"error":{"code":"x","message":[]}})"},
      {hello, R"({"method":"process/output","params":{"processId":"p","seq":0,"stream":"x"}})"},
      {hello, R"({"id":2,"result":{"processId":"p"}})",
       R"({"method":"process/exited","params":{"processId":"p","seq":18446744073709551615}})"},
  };
  for (const auto& script : scripts) {
    Loop loop;
    auto dial = [&]() -> async::Task<Result<std::unique_ptr<MessageStream>>> {
      return
          [](std::vector<std::string> says) -> async::Task<Result<std::unique_ptr<MessageStream>>> {
            co_return std::make_unique<HostileStream>(std::move(says));
          }(script);
    };
    ExecutorClient client(loop.executor(), dial);
    auto finished = loop.run(client.run(shell("p", "true", "/"), nullptr, {}));
    EXPECT_FALSE(finished) << (script.empty() ? "" : script.back().substr(0, 80));
  }
}

}  // namespace
}  // namespace perdure::executor
