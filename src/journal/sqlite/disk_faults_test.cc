// What the embedded store does when the disk is full, and when the disk fails.
#include <filesystem>

#include "journal/limits.h"
#include "journal/testing/fault_vfs.h"
#include "journal/testing/store_fixture.h"

namespace perdure::journal {
namespace {

using testing::append_of;
using testing::FaultVfs;
using testing::key_of;
using ::testing::SizeIs;

class DiskFaults : public ::testing::Test {
 protected:
  void open() {
    store_.reset();
    auto opened =
        SqliteJournal::open({.directory = directory_.data(), .vfs = FaultVfs::name()}, env_, pool_);
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }

  Result<Committed> append(bool finishes_effect = false) {
    Append next = append_of(key_, head_, std::string(10'000, 'x'));
    next.finishes_effect = finishes_effect;
    auto committed = loop_.run(store_->append(std::move(next)));
    if (committed) head_ = committed->head();
    return committed;
  }

  /// Leaves little space and appends until it is gone; the refusal.
  Error fill_disk() {
    faults_.leave_free(200'000);
    for (int i = 0; i < 100; ++i)
      if (auto committed = append(); !committed) return committed.error();
    ADD_FAILURE() << "the disk never ran full";
    return {};
  }

  std::uintmax_t reserve() const {
    return std::filesystem::file_size(directory_.data() + "/reserve");
  }

  testing::TemporaryDirectory directory_;
  FaultVfs faults_{directory_.data()};
  FakeEnv env_;
  async::BlockingPool pool_{1};
  testing::Loop loop_;
  SessionKey key_ = key_of("p", "s");
  std::uint64_t head_ = 0;
  std::unique_ptr<JournalStore> store_;
};

TEST_F(DiskFaults, AFullDiskRefusesNewWorkAndPassesByItself) {
  open();
  ASSERT_TRUE(append());
  Error refused = fill_disk();
  EXPECT_EQ(refused.code, ErrorCode::kUnavailable);
  EXPECT_EQ(refused.reason, "disk_full");
  EXPECT_TRUE(refused.retryable());
  EXPECT_TRUE(store_->stats().disk_full);
  EXPECT_EQ(append().error().code, ErrorCode::kUnavailable);

  // Reads go on, and nothing of the refused appends is there.
  EXPECT_THAT(loop_.run(store_->load(key_))->tail, SizeIs(head_));

  faults_.make_room();
  EXPECT_TRUE(append());
  EXPECT_FALSE(store_->stats().disk_full);
  EXPECT_EQ(reserve(), kDiskReserve);
  EXPECT_THAT(loop_.run(store_->load(key_))->tail, SizeIs(head_));
}

TEST_F(DiskFaults, TheResultOfAnEffectUsesTheReserve) {
  open();
  ASSERT_TRUE(append());
  fill_disk();
  auto committed = append(true);
  ASSERT_TRUE(committed) << committed.error().message;
  EXPECT_TRUE(append(true));
  EXPECT_FALSE(append());
  EXPECT_TRUE(store_->stats().disk_full);

  faults_.make_room();
  EXPECT_TRUE(append());
  open();
  EXPECT_THAT(loop_.run(store_->load(key_))->tail, SizeIs(head_));
}

TEST_F(DiskFaults, AStoreOpensOnAFullDisk) {
  open();
  ASSERT_TRUE(append());
  store_.reset();
  faults_.leave_free(0);
  open();
  EXPECT_THAT(loop_.run(store_->load(key_))->tail, SizeIs(head_));
  EXPECT_TRUE(store_->stats().disk_full);
  faults_.make_room();
  EXPECT_TRUE(append());
}

using DiskFaultsDeathTest = DiskFaults;

TEST_F(DiskFaultsDeathTest, AFailedFlushEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        open();
        faults_.fail_sync = true;
        static_cast<void>(append());
      },
      ::testing::ExitedWithCode(70), "did not reach the disk.*perdure.db");
}

TEST_F(DiskFaultsDeathTest, AFailedWriteEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        open();
        faults_.fail_write = true;
        static_cast<void>(append());
      },
      ::testing::ExitedWithCode(70), "did not reach the disk.*perdure.db");
}

}  // namespace
}  // namespace perdure::journal
