// What only the embedded store does: files, lock, restart, blobs on disk, the group commit.
#include "journal/sqlite/sqlite_journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "journal/limits.h"
#include "journal/sqlite/data_directory.h"
#include "journal/testing/store_fixture.h"

namespace perdure::journal {
namespace {

using testing::append_of;
using testing::code_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::key_of;
using ::testing::SizeIs;

class SqliteStore : public testing::StoreTest {
 protected:
  std::int64_t count(const std::string& sql) {
    sqlite::Connection raw(directory_.database(), sqlite::Access::kRead);
    sqlite::Rows rows = raw.query(sql);
    rows.next();
    return rows.integer(0);
  }
  Result<std::unique_ptr<SqliteJournal>> try_open() {
    return SqliteJournal::open({.directory = directory_.data()}, env_, pool_);
  }
};

INSTANTIATE_TEST_SUITE_P(, SqliteStore, ::testing::Values("sqlite"),
                         [](const auto& info) { return info.param; });

const SessionKey kA = key_of("p1", "sess_a");
const SessionKey kB = key_of("p1", "sess_b");

// ---- files ----------------------------------------------------------------------------------

TEST_P(SqliteStore, FilesAreForTheOwnerOnlyAndNotForChildren) {
  fill(kA, 1);
  struct stat status;
  ASSERT_EQ(::stat(directory_.data().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(directory_.data())) {
    names.push_back(file.path().filename());
    ASSERT_EQ(::stat(file.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u) << file.path();
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("lock", "reserve", "perdure.db",
                                                     "perdure.db-wal", "perdure.db-shm"));
  int descriptors = 0;
  for (const auto& link : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    auto target = std::filesystem::read_symlink(link.path(), ignored).string();
    if (!target.starts_with(directory_.data())) continue;
    ++descriptors;
    int flags = ::fcntl(std::stoi(link.path().filename()), F_GETFD);
    EXPECT_TRUE(flags & FD_CLOEXEC) << target;
  }
  EXPECT_GT(descriptors, 3);
}

TEST_P(SqliteStore, ADirectoryInUseNamesTheProcess) {
  store_.reset();
  int ready[2], end[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(end), 0);
  pid_t child = ::fork();
  if (child == 0) {
    ::close(end[1]);
    auto held = sqlite::DataDirectory::open(directory_.data());
    char byte = held ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) == 1) [[maybe_unused]]
      ssize_t none = ::read(end[0], &byte, 1);
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  auto refused = try_open();
  EXPECT_EQ(code_of(refused), ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message,
              HasSubstr(directory_.data() + " is in use by process " + std::to_string(child)));
  for (int descriptor : {ready[0], ready[1], end[0], end[1]}) ::close(descriptor);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(try_open());
}

// Not of the fixture: the child starts threads, so the fork must come before there are any.
TEST(SqliteStoreRestart, WhatAnAbandonedProcessWroteIsThere) {
  testing::TemporaryDirectory directory;
  FakeEnv env;
  auto open = [&](async::BlockingPool& pool) {
    return SqliteJournal::open({.directory = directory.data()}, env, pool);
  };
  pid_t child = ::fork();
  if (child == 0) {
    testing::Loop loop;
    async::BlockingPool pool(1);
    auto store = open(pool);
    bool fine = store && loop.run((*store)->append(append_of(kA, 0, "before the end")));
    ::_exit(fine ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  testing::Loop loop;
  async::BlockingPool pool(1);
  auto store = open(pool);
  ASSERT_TRUE(store);
  EXPECT_EQ((*store)->epoch(), 2u);
  auto loaded = loop.run((*store)->load(kA, ~0ULL));
  ASSERT_THAT(loaded->tail, SizeIs(1));
  EXPECT_EQ(loaded->tail[0].body, "before the end");
}

TEST_P(SqliteStore, AFileOfANewerProgramIsRefused) {
  store_.reset();
  sqlite::Connection(directory_.database(), sqlite::Access::kWrite)
      .run("INSERT INTO schema_version VALUES (999, 0)");
  auto refused = try_open();
  EXPECT_EQ(code_of(refused), ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("written by a newer perdure"));
}

TEST_P(SqliteStore, AFileThatIsNoDatabaseIsRefused) {
  store_.reset();
  for (const char* suffix : {"-wal", "-shm"})
    std::filesystem::remove(directory_.database() + suffix);
  int file = ::open(directory_.database().c_str(), O_WRONLY | O_TRUNC);
  std::string text(8192, '?');
  ASSERT_EQ(::write(file, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ::close(file);
  auto refused = try_open();
  EXPECT_EQ(code_of(refused), ErrorCode::kInternal);
  EXPECT_THAT(refused.error().message, HasSubstr("damaged"));
}

TEST_P(SqliteStore, ADirectoryThatCannotBeMadeIsAClearError) {
  auto refused = SqliteJournal::open({.directory = "/proc/nowhere/data"}, env_, pool_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("/proc/nowhere"));
}

// ---- blobs ----------------------------------------------------------------------------------

TEST_P(SqliteStore, LargeBodiesAreStoredOncePerProject) {
  std::string large(kBlobThreshold + 1, 'x');
  ASSERT_TRUE(append(append_of(kA, 0, large)));
  ASSERT_TRUE(append(append_of(kA, 1, large)));
  ASSERT_TRUE(append(append_of(kB, 0, large)));
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 1);
  ASSERT_TRUE(append(append_of(key_of("p2", "sess_a"), 0, large)));
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 2);
  EXPECT_EQ(count("SELECT count(DISTINCT hash) FROM blob"), 2);

  ASSERT_TRUE(loop_.run(store_->delete_session(kA, 2)));
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 2);
  ASSERT_TRUE(loop_.run(store_->delete_session(kB, 1)));
  EXPECT_EQ(count("SELECT count(*) FROM blob WHERE project = 'p1'"), 0);
  EXPECT_THAT(bodies(key_of("p2", "sess_a")), ElementsAre(large));
}

TEST_P(SqliteStore, ABlobOfARefusedAppendIsCollected) {
  std::string large(kBlobThreshold + 1, 'x');
  ASSERT_TRUE(append(append_of(kA, 0, large + "kept")));
  EXPECT_EQ(code_of(append(append_of(kA, 7, large))), ErrorCode::kFenced);
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 2);
  EXPECT_EQ(*loop_.run(store_->collect_garbage(env_.now())), 1u);
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 1);
  EXPECT_THAT(bodies(kA), ElementsAre(large + "kept"));
}

TEST_P(SqliteStore, ABodyAtTheThresholdStaysInItsEntry) {
  ASSERT_TRUE(append(append_of(kA, 0, std::string(kBlobThreshold, 'x'))));
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 0);
}

TEST_P(SqliteStore, ABlobIsNotCollectedUnderAnAppendThatNeedsIt) {
  std::string large(kBlobThreshold + 1, 'x');
  ASSERT_TRUE(append(append_of(kA, 0, large)));
  std::optional<Result<Committed>> deleted, appended;
  std::optional<Result<std::size_t>> collected;
  {
    auto held = hold_writes();
    loop_.start(store_->delete_session(kA, 1), deleted);
    loop_.start(store_->append(append_of(kB, 0, large)), appended);
    loop_.start(store_->collect_garbage(env_.now()), collected);
    loop_.poll();
  }
  loop_.finish();
  EXPECT_TRUE(deleted.value());
  EXPECT_TRUE(appended.value());
  EXPECT_TRUE(collected.value());
  EXPECT_THAT(bodies(kB), ElementsAre(large));
}

// ---- the writer -----------------------------------------------------------------------------

TEST_P(SqliteStore, WaitingAppendsShareACommit) {
  std::vector<std::optional<Result<Committed>>> results(kMaxGroup);
  std::uint64_t before = store_->stats().commits;
  {
    auto held = hold_writes();
    for (std::size_t i = 0; i < results.size(); ++i)
      loop_.start(store_->append(append_of(key_of("p", std::to_string(i)), 0)), results[i]);
    loop_.poll();
  }
  loop_.finish();
  for (auto& result : results) EXPECT_TRUE(result.value());
  EXPECT_LE(store_->stats().commits - before, 2u);  // the first may have gone ahead of the others
}

TEST_P(SqliteStore, AStatementThatFailsFailsItsOwnAppendOnly) {
  fill(kA, 1);
  sqlite::Connection(directory_.database(), sqlite::Access::kWrite)
      .run(
          "INSERT INTO journal (project, session, seq, kind, epoch, time, body) "
          "VALUES ('p1', 'sess_a', 2, 1, 1, 1, x'00')");  // damage: an entry past the head
  std::vector<std::optional<Result<Committed>>> results(10);
  std::optional<Result<Committed>> broken;
  {
    auto held = hold_writes();
    for (std::size_t i = 0; i < results.size(); ++i) {
      loop_.start(store_->append(append_of(key_of("p", std::to_string(i)), 0)), results[i]);
      if (i == 5) loop_.start(store_->append(append_of(kA, 1)), broken);
    }
    loop_.poll();
  }
  loop_.finish();
  for (auto& result : results) EXPECT_TRUE(result.value());
  EXPECT_EQ(code_of(*broken), ErrorCode::kInternal);
  EXPECT_EQ(loop_.run(store_->session(kA))->head, 1u);
  EXPECT_EQ(store_->stats().appends, 11u);
}

TEST_P(SqliteStore, TheLogIsCheckpointedWhileItRuns) {
  for (std::uint64_t head = 0; head < 20; ++head)
    ASSERT_TRUE(append(append_of(kA, head, std::string(1 << 20, static_cast<char>('a' + head)))));
  auto log = std::filesystem::file_size(directory_.database() + "-wal");
  EXPECT_LT(log, 3u * kCheckpointPages * 4096);
  EXPECT_THAT(bodies(kA), SizeIs(5));  // a read stops past 4 MiB
}

TEST_P(SqliteStore, WaitingWritesAreFinishedWhenTheStoreCloses) {
  std::vector<std::optional<Result<Committed>>> results(200);
  for (std::size_t i = 0; i < results.size(); ++i)
    loop_.start(store_->append(append_of(key_of("p", std::to_string(i)), 0)), results[i]);
  loop_.poll();
  store_.reset();
  loop_.finish();
  for (auto& result : results) EXPECT_TRUE(result.value());
}

}  // namespace
}  // namespace perdure::journal
