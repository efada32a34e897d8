#include "executor/runner/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "executor/runner/limits.h"

namespace perdure::executor::runner {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// A root to work in, and beside it something that must not be reached.
class RunnerFilesTest : public ::testing::Test {
 protected:
  RunnerFilesTest() {
    std::string pattern = fs::temp_directory_path() / "perdure-files-XXXXXX";
    if (!::mkdtemp(pattern.data())) std::abort();
    top_ = pattern;
    root_ = top_ + "/work";
    fs::create_directories(root_);
    put(top_ + "/secret", "not yours");
    files_.emplace(std::move(*Files::open({root_})));
  }
  ~RunnerFilesTest() override { fs::remove_all(top_); }

  static void put(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
  static std::string get(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string top_, root_;
  std::optional<Files> files_;
};

TEST_F(RunnerFilesTest, WritesReadsListsAndRemoves) {
  std::string file = root_ + "/a/b/c.txt";
  ASSERT_TRUE(files_->create_directory(root_ + "/a/b", true));
  ASSERT_TRUE(files_->create_directory(root_ + "/a/b", true));  // is there already
  EXPECT_FALSE(files_->create_directory(root_ + "/a/b", false));
  ASSERT_TRUE(files_->write(file, std::string("zero\0byte", 9)));
  EXPECT_EQ(*files_->read(file), std::string("zero\0byte", 9));
  ASSERT_TRUE(files_->write(file, "new"));
  EXPECT_EQ(*files_->read(file), "new");
  auto about = files_->metadata(file);
  ASSERT_TRUE(about);
  EXPECT_TRUE(about->is_file);
  EXPECT_EQ(about->size, 3U);
  ASSERT_TRUE(files_->copy(root_ + "/a", root_ + "/z", true));
  EXPECT_EQ(get(root_ + "/z/b/c.txt"), "new");
  EXPECT_FALSE(files_->copy(root_ + "/a", root_ + "/y", false));
  EXPECT_FALSE(files_->copy(root_ + "/a", root_ + "/a/b/inside", true));
  auto entries = files_->list(root_);
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 2U);
  EXPECT_EQ((*entries)[1].name, "z");
  EXPECT_FALSE(files_->remove(root_ + "/a", false, false));
  ASSERT_TRUE(files_->remove(root_ + "/a", true, false));
  EXPECT_FALSE(files_->remove(root_ + "/a", true, false));
  EXPECT_TRUE(files_->remove(root_ + "/a", true, true));
  EXPECT_FALSE(fs::exists(root_ + "/a"));
}

TEST_F(RunnerFilesTest, NothingLeadsOut) {
  fs::create_symlink("../secret", root_ + "/relative");
  fs::create_symlink(top_ + "/secret", root_ + "/absolute");
  fs::create_symlink("..", root_ + "/up");
  fs::create_symlink("up", root_ + "/twice");
  // A magic link, as /proc/self/root is one, but to a directory of this test's own: this test runs
  // in no sandbox, perhaps as root, and where a wall is broken what it writes arrives.
  const int outside = ::open(top_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  ASSERT_GE(outside, 0);
  const std::shared_ptr<void> closed(nullptr, [outside](void*) { ::close(outside); });
  fs::create_symlink("/proc/self/fd/" + std::to_string(outside), root_ + "/magic");
  // The oracle: without the walls these lead where they say.
  EXPECT_EQ(get(root_ + "/relative"), "not yours");
  EXPECT_EQ(get(root_ + "/up/secret"), "not yours");
  EXPECT_EQ(get(root_ + "/magic/secret"), "not yours");
  for (std::string path : {"/relative", "/absolute", "/up/secret", "/twice/secret", "/../secret",
                           "/a/../../secret", "/magic/secret", "/up/work/../secret"}) {
    EXPECT_FALSE(files_->read(root_ + path)) << path;
    EXPECT_FALSE(files_->write(root_ + path, "overwritten")) << path;
    EXPECT_FALSE(files_->copy(root_ + path, root_ + "/copy", true) && fs::exists(root_ + "/copy") &&
                 get(root_ + "/copy") != "not yours")
        << path;
    EXPECT_FALSE(files_->open_handle("h", root_ + path)) << path;
  }
  EXPECT_THAT(files_->read(root_ + "/up/secret").error(), HasSubstr("out of the workspace"));
  EXPECT_FALSE(files_->read(top_ + "/secret"));
  EXPECT_FALSE(files_->read(top_ + "/workother"));
  EXPECT_FALSE(files_->list(root_ + "/up"));
  EXPECT_FALSE(files_->search(root_ + "/up", "yours", 10));
  EXPECT_FALSE(files_->create_directory(root_ + "/up/made", true));
  EXPECT_FALSE(files_->remove(root_ + "/up/secret", true, true));
  EXPECT_FALSE(files_->remove(root_, true, true));
  EXPECT_FALSE(files_->read(root_ + std::string("/a\0b", 4)));
  EXPECT_EQ(get(top_ + "/secret"), "not yours");
  EXPECT_FALSE(fs::exists(top_ + "/made"));
  // A link goes as a link; what it means stays.
  EXPECT_TRUE(files_->metadata(root_ + "/relative")->is_symlink);
  ASSERT_TRUE(files_->remove(root_ + "/up", true, false));
  EXPECT_EQ(get(top_ + "/secret"), "not yours");
}

TEST_F(RunnerFilesTest, ATreeIsCopiedAndRemovedWithoutFollowingLinks) {
  fs::create_directories(root_ + "/tree/deep");
  fs::create_directory_symlink(top_, root_ + "/tree/deep/out");
  ASSERT_TRUE(files_->copy(root_ + "/tree", root_ + "/copy", true));
  EXPECT_TRUE(fs::is_symlink(root_ + "/copy/deep/out"));
  auto found = files_->search(root_, "yours", 10);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->matches.empty());
  ASSERT_TRUE(files_->remove(root_ + "/tree", true, false));
  ASSERT_TRUE(files_->remove(root_ + "/copy", true, false));
  EXPECT_EQ(get(top_ + "/secret"), "not yours");
}

TEST_F(RunnerFilesTest, LinksWithinAreFollowed) {
  put(root_ + "/real", "text");
  fs::create_symlink("real", root_ + "/link");
  EXPECT_EQ(*files_->read(root_ + "/link"), "text");
  ASSERT_TRUE(files_->write(root_ + "/link", "changed"));
  EXPECT_TRUE(fs::is_symlink(root_ + "/link"));
  EXPECT_EQ(get(root_ + "/real"), "changed");
  EXPECT_EQ(*files_->canonicalize(root_ + "/link"), fs::canonical(root_).string() + "/real");
}

TEST_F(RunnerFilesTest, APipeDoesNotHoldItUp) {
  ASSERT_EQ(::mkfifo((root_ + "/pipe").c_str(), 0600), 0);
  EXPECT_THAT(files_->read(root_ + "/pipe").error(), HasSubstr("not a regular file"));
  EXPECT_FALSE(files_->write(root_ + "/pipe", "x"));
  EXPECT_FALSE(files_->copy(root_ + "/pipe", root_ + "/copy", true));
  EXPECT_TRUE(files_->search(root_, "x", 10));
}

TEST_F(RunnerFilesTest, ADirectoryThatIsExchangedLeadsNowhere) {
  fs::create_directories(root_ + "/swap");
  put(root_ + "/swap/secret", "mine");
  fs::create_directory_symlink("..", root_ + "/other");
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    while (!stop)
      ::syscall(SYS_renameat2, AT_FDCWD, (root_ + "/swap").c_str(), AT_FDCWD,
                (root_ + "/other").c_str(), 2 /* exchange */);
  });
  int leaked = 0;
  for (int i = 0; i < 3000; ++i) {
    auto text = files_->read(root_ + "/swap/secret");
    if (text && *text != "mine") ++leaked;
    auto written = files_->write(root_ + "/swap/written", "x");
    (void)written;
  }
  stop = true;
  swapper.join();
  EXPECT_EQ(leaked, 0);
  EXPECT_FALSE(fs::exists(top_ + "/written"));
}

TEST_F(RunnerFilesTest, LargeFilesAreReadInBlocks) {
  std::string large(kMaxFileBytes + 5, 'x');
  large += "end";
  put(root_ + "/large", large);
  EXPECT_THAT(files_->read(root_ + "/large").error(), HasSubstr("in blocks"));
  ASSERT_TRUE(files_->open_handle("h", root_ + "/large"));
  EXPECT_FALSE(files_->open_handle("h", root_ + "/large"));
  auto block = files_->read_block("h", kMaxFileBytes + 3, 100);
  ASSERT_TRUE(block);
  EXPECT_EQ(block->bytes, "xxend");
  EXPECT_TRUE(block->eof);
  EXPECT_FALSE(files_->read_block("h", UINT64_MAX, 100));
  ASSERT_TRUE(files_->close_handle("h"));
  EXPECT_FALSE(files_->read_block("h", 0, 1));
}

TEST_F(RunnerFilesTest, FindsLines) {
  put(root_ + "/one", "first\nneedle here\nlast needle");
  put(root_ + "/binary", std::string("\0needle", 7));
  auto found = files_->search(root_, "needle", 10);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->matches.size(), 2U);
  EXPECT_EQ(found->matches[0].path, root_ + "/one");
  EXPECT_EQ(found->matches[0].line, 2);
  EXPECT_EQ(found->matches[1].text, "last needle");
  EXPECT_FALSE(found->truncated);
  EXPECT_TRUE(files_->search(root_, "needle", 1)->truncated);
}

TEST_F(RunnerFilesTest, AWriteThatIsTooLargeLeavesTheOldFile) {
  put(root_ + "/file", "old");
  ASSERT_EQ(::chmod((root_ + "/file").c_str(), 0755), 0);
  EXPECT_FALSE(files_->write(root_ + "/file", std::string(kMaxFileBytes + 1, 'x')));
  EXPECT_EQ(get(root_ + "/file"), "old");
  ASSERT_TRUE(files_->write(root_ + "/file", "new"));
  struct stat status{};
  ASSERT_EQ(::stat((root_ + "/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0755U);  // still a program
}

}  // namespace
}  // namespace perdure::executor::runner
