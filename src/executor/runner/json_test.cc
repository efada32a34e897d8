#include "executor/runner/json.h"

#include <gtest/gtest.h>

#include "executor/runner/limits.h"
#include "executor/runner/plan.h"

namespace perdure::executor::runner {
namespace {

TEST(RunnerJsonTest, ReadsWhatTheServerWrites) {
  std::string error;
  auto value =
      Json::parse(R"( {"a":[1,-2.5e3,true,null],"b":{"c":"\u00fc\ud83d\ude00\n\/"}} )", &error);
  ASSERT_TRUE(value) << error;
  EXPECT_EQ(value->find("a")->items()[0].as_count(), 1);
  EXPECT_FALSE(value->find("a")->items()[1].as_count());
  EXPECT_EQ(value->find("a")->items()[2].as_bool(), true);
  EXPECT_EQ(value->find("b")->find("c")->as_string(), "ü😀\n/");
  EXPECT_EQ(value->find("nothing"), nullptr);
}

TEST(RunnerJsonTest, RefusesNumbersThatNoDoubleHolds) {
  std::string error, longest(kMaxNumberBytes, '9');
  EXPECT_TRUE(Json::parse(longest, &error)) << error;
  EXPECT_TRUE(Json::parse("1e99", &error)) << error;
  EXPECT_FALSE(Json::parse(longest + "9", &error));
  EXPECT_EQ(error, "a number is too long at byte 33");
  EXPECT_FALSE(Json::parse("1e400", &error));
}

TEST(RunnerJsonTest, RefusesWhatTwoReadersCouldUnderstandDifferently) {
  for (std::string text : {"", "{", "[1,]", "{\"a\":1,\"a\":2}", "01", "1.", "\"\\ud800\"",
                           "\"\\x\"", "\"\x01\"", "\"\xff\"", "\"\xed\xa0\x80\"", "1 2", "nul",
                           "{\"a\" 1}", "\"open", "'a'", "\"\\u12\"", "+1", "-"}) {
    std::string error;
    EXPECT_FALSE(Json::parse(text, &error)) << text;
    EXPECT_FALSE(error.empty());
  }
  std::string error, deep(kMaxJsonDepth + 2, '[');
  EXPECT_FALSE(Json::parse(deep, &error));
}

TEST(RunnerJsonTest, QuotesAnyBytesAsValidJson) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  std::string error;
  EXPECT_TRUE(Json::parse(runner::quoted(bytes), &error)) << error;
  EXPECT_EQ(Json::parse(runner::quoted("a\"\\\n\x01ü"), &error)->as_string(), "a\"\\\n\x01ü");
}

TEST(RunnerJsonTest, Base64ThereAndBack) {
  std::string bytes;
  for (int i = 0; i < 70; ++i) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
    bytes += static_cast<char>(i * 37);
  }
  for (std::string_view wrong :
       {"a", "ab", "abc", "a===", "ab=c", "ab==abcd", "a b=", "YR==", "YWJ="})
    EXPECT_FALSE(from_base64(wrong)) << wrong;
}

TEST(RunnerPlanTest, ThereAndBackAndNothingElse) {
  Plan plan = {{"a"}, {"file", "x", std::string("\0\n", 2), ""}};
  std::string text = encode_plan(plan);
  EXPECT_EQ(decode_plan(text), plan);
  for (std::size_t cut = 0; cut < text.size(); ++cut)
    EXPECT_FALSE(decode_plan(text.substr(0, cut))) << cut;
  EXPECT_FALSE(decode_plan(text + "x"));
}

}  // namespace
}  // namespace perdure::executor::runner
