// The small pieces of the start: private files, the master key, the runtime file, the banner.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "main/banner.h"
#include "main/files.h"
#include "main/master_key.h"
#include "main/runtime_file.h"

namespace perdure::app {
namespace {

class StartupTest : public testing::Test {
 public:
  ~StartupTest() override { std::filesystem::remove_all(directory_); }

  static unsigned mode_of(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777;
  }

 protected:
  StartupTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "perdure-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
  }

  std::string directory_;
  FakeEnv env_;
};

TEST_F(StartupTest, PrivateFilesAreWrittenWholeAndForTheirOwner) {
  const std::string path = directory_ + "/a/b/file";
  ASSERT_TRUE(make_private_directory(directory_ + "/a/b"));
  EXPECT_EQ(mode_of(directory_ + "/a/b"), 0700u);
  EXPECT_EQ(read_small_file(path, 10), std::nullopt);
  EXPECT_EQ(write_private_file(path, "one", IfPresent::kKeep), true);
  EXPECT_EQ(mode_of(path), 0600u);
  EXPECT_EQ(write_private_file(path, "two", IfPresent::kKeep), false);
  EXPECT_EQ(read_small_file(path, 10), "one");
  EXPECT_EQ(write_private_file(path, "three", IfPresent::kReplace), true);
  EXPECT_EQ(read_small_file(path, 5), "three");
  EXPECT_EQ(read_small_file(path, 4).error().code, ErrorCode::kTooLarge);
  EXPECT_FALSE(write_private_file(directory_ + "/no/file", "x", IfPresent::kReplace));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_ + "/a/b"), {}), 1)
      << "a draft was left behind";
}

TEST_F(StartupTest, TheMasterKeyIsMadeOnceAndStays) {
  const std::string file = directory_ + "/config/master_key";
  const auto made = load_master_key({}, file, env_);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->created);
  EXPECT_EQ(mode_of(file), 0600u);
  const auto again = load_master_key({}, file, env_);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->created);
  EXPECT_EQ(again->key, made->key);
}

TEST_F(StartupTest, TheVariableBeatsTheFileAndMakesNone) {
  const std::string file = directory_ + "/master_key";
  const auto first = load_master_key(std::string(32, 'a'), file, env_);
  const auto second = load_master_key(std::string(32, 'b'), file, env_);
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->key, second->key);
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_FALSE(load_master_key(std::string(31, 'a'), file, env_));
  EXPECT_FALSE(load_master_key({}, "", env_));
}

TEST_F(StartupTest, AMasterKeyThatOthersMayReadIsRefused) {
  const std::string file = directory_ + "/master_key";
  ASSERT_TRUE(load_master_key({}, file, env_));
  ::chmod(file.c_str(), 0640);
  const auto refused = load_master_key({}, file, env_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("chmod 600"), std::string::npos);
}

TEST_F(StartupTest, TheRuntimeFileIsRemovedByItsOwnerOnly) {
  EXPECT_EQ(read_runtime_file(directory_)->has_value(), false);
  const RuntimeInfo info{.pid = ::getpid(), .url = "http://127.0.0.1:1", .token = "secret"};
  ASSERT_TRUE(write_runtime_file(directory_, info));
  EXPECT_EQ(mode_of(directory_ + "/server.json"), 0600u);
  const auto read = read_runtime_file(directory_);
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->url, info.url);
  EXPECT_EQ((*read)->token, info.token);
  ASSERT_TRUE(write_runtime_file(directory_, {.pid = info.pid + 1}));
  remove_runtime_file(directory_);
  EXPECT_TRUE(*read_runtime_file(directory_)) << "another server's";
  ASSERT_TRUE(write_runtime_file(directory_, info));
  remove_runtime_file(directory_);
  EXPECT_FALSE(*read_runtime_file(directory_));
  std::ofstream(directory_ + "/server.json") << "not json";
  EXPECT_FALSE(read_runtime_file(directory_));
}

TEST(Banner, SaysPlainlyWhatAnswersAndWhatItCosts) {
  BannerInfo info{.version = "1.2.3",
                  .url = "http://127.0.0.1:8787",
                  .data_dir = "/data",
                  .model = {.provider = "scripted", .kind = "scripted"}};
  EXPECT_NE(banner(info).find("NOT a real model"), std::string::npos);
  EXPECT_EQ(banner(info).find("MONEY"), std::string::npos);
  EXPECT_NE(banner(info).find("export OPENAI_BASE_URL=http://127.0.0.1:8787/v1\n"),
            std::string::npos);
  info.model = {.provider = "openai",
                .kind = "openai-responses",
                .base_url = "https://api.openai.com/v1",
                .model = "gpt-5",
                .has_key = true};
  EXPECT_NE(banner(info).find("SPEND YOUR MONEY"), std::string::npos);
  EXPECT_NE(banner(info).find(R"("model":"gpt-5")"), std::string::npos);
  EXPECT_EQ(banner(info).find("'default'"), std::string::npos);
  info.model.is_default = true;
  EXPECT_NE(banner(info).find("also call it 'default'"), std::string::npos);
  info.model.is_default = false;
  info.model.other_names = "bedrock";
  EXPECT_NE(banner(info).find("Names that are not listed go to bedrock."), std::string::npos);
  info.model.model.clear();
  EXPECT_NE(banner(info).find("--model NAME. Until then the name 'default' means nothing"),
            std::string::npos);
  info.model.has_default = true;
  EXPECT_EQ(banner(info).find("means nothing"), std::string::npos);
  info.data_dir_is_default = false;
  info.data_dir = "/my data";
  EXPECT_NE(banner(info).find("perdure sessions ls --data-dir '/my data'"), std::string::npos);
}

}  // namespace
}  // namespace perdure::app
