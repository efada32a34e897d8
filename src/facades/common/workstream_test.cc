#include "facades/common/workstream.h"

#include <gtest/gtest.h>

namespace perdure::facades {
namespace {

Result<std::optional<std::string>> read(std::vector<std::string> values) {
  http::Request request;
  for (std::string& value : values) request.headers.add("x-perdure-workstream", std::move(value));
  return workstream_of(request);
}

TEST(Workstream, IsOptional) {
  EXPECT_EQ(read({}).value(), std::nullopt);
}

TEST(Workstream, IsOneToSixtyFourPlainCharacters) {
  EXPECT_EQ(read({"Alpha_9-z"}).value(), "Alpha_9-z");
  EXPECT_EQ(read({std::string(64, 'a')}).value(), std::string(64, 'a'));
  for (const std::string& bad : {std::string(), std::string(65, 'a'), std::string("a b"),
                                 std::string("a/b"), std::string("caf\xc3\xa9")}) {
    auto refused = read({bad});
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(refused.error().param, "X-Perdure-Workstream");
  }
}

TEST(Workstream, GivenTwiceIsNotGuessedAt) {
  EXPECT_EQ(read({"a", "a"}).error().param, "X-Perdure-Workstream");
}

}  // namespace
}  // namespace perdure::facades
