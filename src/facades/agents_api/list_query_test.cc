#include "facades/agents_api/list_query.h"

#include <gtest/gtest.h>

namespace perdure::facades::agents_api {
namespace {

Result<engine::Page> page(http::Query query, LimitRule rule = LimitRule::kClamp) {
  return read_page(query, rule);
}

TEST(ListQuery, DefaultsAreTwentyNewestFirst) {
  auto read = page({{"unknown", "ignored"}, {"unknown", "twice"}});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->limit, 20u);
  EXPECT_FALSE(read->ascending);
  EXPECT_FALSE(read->after);
}

TEST(ListQuery, LimitsAreClampedOnSomeLists) {
  EXPECT_EQ(page({{"limit", "0"}})->limit, 1u);
  EXPECT_EQ(page({{"limit", "-5"}})->limit, 1u);
  EXPECT_EQ(page({{"limit", "101"}})->limit, 100u);
  EXPECT_EQ(page({{"limit", "99999999999999999999"}})->limit, 100u);
}

TEST(ListQuery, LimitsAreRefusedOnOthers) {
  for (const char* limit : {"0", "101", "99999999999999999999"}) {
    auto read = page({{"limit", limit}}, LimitRule::kRefuse);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().message, "limit must be between 1 and 100");
  }
  EXPECT_EQ(page({{"limit", "100"}}, LimitRule::kRefuse)->limit, 100u);
}

TEST(ListQuery, ALimitMustBeANumber) {
  for (const char* limit : {"", "x", "1x", " 1", "1.5", "+1"}) {
    auto read = page({{"limit", limit}});
    ASSERT_FALSE(read) << limit;
    EXPECT_EQ(read.error().param, "limit");
  }
}

TEST(ListQuery, RepeatedParametersAndBadOrdersAreRefused) {
  EXPECT_EQ(page({{"limit", "1"}, {"limit", "1"}}).error().param, "limit");
  EXPECT_EQ(page({{"after", "a"}, {"after", "b"}}).error().param, "after");
  EXPECT_EQ(page({{"order", "asc"}, {"order", "asc"}}).error().param, "order");
  EXPECT_EQ(page({{"order", "ASC"}}).error().param, "order");
  EXPECT_TRUE(page({{"order", "asc"}})->ascending);
  EXPECT_FALSE(page({{"order", "desc"}})->ascending);
}

TEST(ListQuery, FlagsAreTrueOrFalse) {
  EXPECT_EQ(read_flag({}, "stream", true), true);
  EXPECT_EQ(read_flag({{"stream", "false"}}, "stream", true), false);
  EXPECT_FALSE(read_flag({{"stream", "1"}}, "stream", true));
}

TEST(ListQuery, MetadataPairsAreCollected) {
  auto filter =
      read_metadata_filter({{"metadata[a]", "1"}, {"metadata[b c]", "2"}, {"after", "x"}});
  EXPECT_EQ(*filter, (std::map<std::string, std::string>{{"a", "1"}, {"b c", "2"}}));
  EXPECT_FALSE(read_metadata_filter({{"metadata[a]", "1"}, {"metadata[a]", "1"}}));
  EXPECT_FALSE(read_metadata_filter({{"metadata[]", "1"}}));
  EXPECT_FALSE(read_metadata_filter({{"metadata[" + std::string(65, 'k') + "]", "1"}}));
  EXPECT_FALSE(read_metadata_filter({{"metadata[k]", std::string(513, 'v')}}));
}

}  // namespace
}  // namespace perdure::facades::agents_api
