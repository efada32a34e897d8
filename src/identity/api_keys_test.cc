#include "identity/api_keys.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "identity/limits.h"
#include "journal/memory/memory_journal.h"

namespace perdure::identity {
namespace {

class ApiKeysTest : public testing::Test {
 protected:
  ApiKeysTest() { EXPECT_TRUE(await(keys_.open())); }

  template <class T>
  T await(Task<T> task) {
    auto future = boost::asio::co_spawn(loop_, std::move(task), boost::asio::use_future);
    loop_.restart();
    loop_.run();
    return future.get();
  }

  CreatedKey make(std::string project, std::string name = {}) {
    auto created = await(keys_.create(std::move(project), std::move(name)));
    EXPECT_TRUE(created) << created.error().message;
    return *created;
  }

  FakeEnv env_;
  boost::asio::io_context loop_;
  journal::MemoryJournal store_{env_};
  ApiKeys keys_{env_, store_};
};

TEST(ProjectName, IsLowerCaseLettersDigitsAndInnerHyphens) {
  for (const char* name : {"default", "a", "0", "team-a", "a--b", "a-"})
    EXPECT_TRUE(is_project_name(name)) << name;
  EXPECT_TRUE(is_project_name(std::string(63, 'x')));
  EXPECT_FALSE(is_project_name(std::string(64, 'x')));
  for (const char* name : {"", "-a", "A", "a_b", "a b", "$system", "\xc3\xa9", "a/b"})
    EXPECT_FALSE(is_project_name(name)) << name;
}

TEST_F(ApiKeysTest, AKeyOpensItsProject) {
  const CreatedKey created = make("team-a", "laptop");
  EXPECT_TRUE(created.project_created);
  const auto caller = await(keys_.verify(created.key));
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->project, ProjectId{"team-a"});
  EXPECT_EQ(caller->principal, created.info.id);
  EXPECT_FALSE(caller->operator_access);
}

TEST_F(ApiKeysTest, AKeyHasItsShapeAnd160RandomBits) {
  const std::string key = make("default").key;
  ASSERT_EQ(key.size(), 4u + 16 + 1 + 32);
  EXPECT_TRUE(key.starts_with("pdk_"));
  EXPECT_EQ(key[20], '_');
  EXPECT_NE(key, make("default").key);
}

TEST_F(ApiKeysTest, EveryOtherTextIsRefusedAlike) {
  const std::string key = make("default").key;
  std::string wrong_secret = key;
  wrong_secret.back() = wrong_secret.back() == 'a' ? 'b' : 'a';
  std::string unknown_id = key;
  unknown_id[5] = unknown_id[5] == 'a' ? 'b' : 'a';
  const std::string cut = key.substr(0, key.size() - 1);
  await(keys_.verify(key)).value();  // so that it is cached
  for (const std::string& text : {wrong_secret, unknown_id, cut, key + "x", std::string(),
                                  std::string("pdk_"), std::string(53, '_')}) {
    const auto caller = await(keys_.verify(text));
    ASSERT_FALSE(caller) << text;
    EXPECT_EQ(caller.error().code, ErrorCode::kUnauthenticated);
    EXPECT_EQ(caller.error().message, await(keys_.verify("nonsense")).error().message);
  }
}

TEST_F(ApiKeysTest, ARevokedKeyIsRefusedAtOnce) {
  const CreatedKey created = make("default");
  ASSERT_TRUE(await(keys_.verify(created.key)));
  const auto revoked = await(keys_.revoke(created.info.id));
  ASSERT_TRUE(revoked);
  EXPECT_TRUE(revoked->revoked);
  EXPECT_FALSE(await(keys_.verify(created.key)));
  EXPECT_TRUE(await(keys_.revoke(created.info.id))) << "revoking again changes nothing";
}

TEST_F(ApiKeysTest, AVerificationAroundARevocationDoesNotOutliveIt) {
  // The verification begins at every step of the revocation, and the other way round.
  for (int steps = 0; steps < 12; ++steps) {
    for (const bool revoke_first : {true, false}) {
      const CreatedKey created = make("default");
      const auto begin = [&](bool revocation) {
        if (revocation)
          boost::asio::co_spawn(loop_, keys_.revoke(created.info.id), boost::asio::detached);
        else
          boost::asio::co_spawn(loop_, keys_.verify(created.key), boost::asio::detached);
      };
      loop_.restart();
      begin(revoke_first);
      for (int i = 0; i < steps; ++i) loop_.poll_one();
      loop_.restart();
      begin(!revoke_first);
      loop_.run();
      EXPECT_FALSE(await(keys_.verify(created.key))) << steps << " " << revoke_first;
    }
  }
}

TEST_F(ApiKeysTest, ARevocationByAnotherNodeCountsWithinTheStatedTime) {
  const CreatedKey created = make("default");
  ASSERT_TRUE(await(keys_.verify(created.key)));
  ApiKeys other_node(env_, store_);
  ASSERT_TRUE(await(other_node.revoke(created.info.id)));
  env_.advance(kCachedKeyMs);
  EXPECT_FALSE(await(keys_.verify(created.key)));
}

TEST_F(ApiKeysTest, TheCacheIsBoundedAndForgetsNobody) {
  std::vector<std::string> made;
  for (std::size_t i = 0; i < kMaxCachedKeys + 2; ++i) made.push_back(make("default").key);
  for (const std::string& key : made) ASSERT_TRUE(await(keys_.verify(key)));
  for (const std::string& key : made) ASSERT_TRUE(await(keys_.verify(key)));
}

TEST_F(ApiKeysTest, TheListShowsNoSecret) {
  const CreatedKey first = make("default", "one");
  env_.advance(1);
  const CreatedKey second = make("team-a", "two");
  const auto all = await(keys_.list({}, {}, 10));
  ASSERT_TRUE(all);
  ASSERT_EQ(all->data.size(), 2u);
  EXPECT_EQ(all->data[0].id, first.info.id);
  EXPECT_EQ(all->data[1].name, "two");
  EXPECT_TRUE(second.key.ends_with(all->data[1].last4));
  EXPECT_EQ(all->data[1].last4.size(), 4u);

  const auto of_team = await(keys_.list("team-a", {}, 10));
  ASSERT_TRUE(of_team);
  ASSERT_EQ(of_team->data.size(), 1u);
  EXPECT_EQ(of_team->data[0].id, second.info.id);
}

TEST_F(ApiKeysTest, TheListComesInPages) {
  for (int i = 0; i < 3; ++i) {
    make("default", std::to_string(i));
    env_.advance(1);
  }
  const auto first = await(keys_.list({}, {}, 2));
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->has_more);
  const auto rest = await(keys_.list({}, first->data.back().id, 2));
  ASSERT_TRUE(rest);
  EXPECT_FALSE(rest->has_more);
  ASSERT_EQ(rest->data.size(), 1u);
  EXPECT_EQ(rest->data[0].name, "2");
  EXPECT_FALSE(await(keys_.list({}, {}, 0)));
  EXPECT_FALSE(await(keys_.list({}, {}, kMaxListed + 1)));
}

TEST_F(ApiKeysTest, NothingReadableIsStored) {
  const CreatedKey created = make("default");
  const auto rows = await(store_.list_rows({.project = {"$system"}, .kind = "api_key"}));
  ASSERT_TRUE(rows);
  ASSERT_EQ(rows->size(), 1u);
  const std::string secret = created.key.substr(21);
  EXPECT_EQ((*rows)[0].body.find(secret.substr(0, 8)), std::string::npos);
}

TEST_F(ApiKeysTest, TheDefaultProjectAlwaysExists) {
  const auto projects = await(keys_.projects({}, 10));
  ASSERT_TRUE(projects);
  ASSERT_EQ(projects->data.size(), 1u);
  EXPECT_EQ(projects->data[0].name, "default");
  EXPECT_TRUE(await(keys_.open())) << "a second start";
  EXPECT_FALSE(make("default").project_created);
}

TEST_F(ApiKeysTest, BadNamesAreRefusedWithASentence) {
  const auto project = await(keys_.create("Team A", ""));
  ASSERT_FALSE(project);
  EXPECT_EQ(project.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(project.error().param, "project");
  EXPECT_FALSE(await(keys_.create("$system", "")));
  EXPECT_FALSE(await(keys_.create("default", std::string(kMaxKeyName + 1, 'x'))));
  EXPECT_FALSE(await(keys_.create("default", "\xff")));
  EXPECT_EQ(await(keys_.create_project("default")).error().code, ErrorCode::kConflict);
  EXPECT_EQ(await(keys_.revoke("key_nobody")).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace perdure::identity
