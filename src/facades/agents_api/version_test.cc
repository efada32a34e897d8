#include "facades/agents_api/version.h"

#include <gtest/gtest.h>

namespace perdure::facades::agents_api {
namespace {

Result<Version> with_header(std::string value) {
  http::Headers headers;
  headers.add("openai-beta", std::move(value));
  return read_version(headers);
}

TEST(Version, TheBetaHeaderIsAcceptedAndNotDemanded) {
  EXPECT_TRUE(read_version({}));
  EXPECT_TRUE(with_header("agents=v1"));
  EXPECT_TRUE(with_header(""));
}

TEST(Version, OtherBetasAreNoneOfOurBusiness) {
  EXPECT_TRUE(with_header("assistants=v2, agents=v1"));
  EXPECT_TRUE(with_header("responses_multi_agent=v1"));
}

TEST(Version, AVersionWeDoNotKnowIsRefusedByName) {
  for (const char* value : {"agents=v2", "assistants=v2,agents=v2", "agents=v1, agents=v2"}) {
    auto version = with_header(value);
    ASSERT_FALSE(version) << value;
    EXPECT_EQ(version.error().reason, "invalid_beta");
    EXPECT_NE(version.error().message.find("agents=v2"), std::string::npos);
    EXPECT_NE(version.error().message.find("OpenAI-Beta"), std::string::npos);
  }
}

}  // namespace
}  // namespace perdure::facades::agents_api
