#include "facades/common/server_tools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::facades {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Result<std::vector<std::string>> read(std::vector<std::string> values) {
  http::Request request;
  for (std::string& value : values) request.headers.add("x-perdure-tools", std::move(value));
  return server_tools_of(request);
}

TEST(ServerTools, AreNamesBetweenCommas) {
  EXPECT_THAT(read({}).value(), IsEmpty());
  EXPECT_THAT(read({"search_sessions"}).value(), ElementsAre("search_sessions"));
  EXPECT_THAT(read({" a ,\tb,c"}).value(), ElementsAre("a", "b", "c"));
}

TEST(ServerTools, WhatIsUnclearIsRefused) {
  for (const auto& values :
       std::vector<std::vector<std::string>>{{""}, {"a,"}, {",a"}, {"a,,b"}, {"a,a"}, {"a", "b"}}) {
    auto refused = read(values);
    ASSERT_FALSE(refused) << values[0];
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(refused.error().param, "X-Perdure-Tools");
  }
}

}  // namespace
}  // namespace perdure::facades
