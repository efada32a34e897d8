#include "tools/scrub.h"

#include <gtest/gtest.h>

namespace perdure::tools {
namespace {

constexpr std::string_view kSecret = "tok/Zq7Vt0UeX1mNc4Kd9";

TEST(Scrub, RemovesEveryOccurrence) {
  EXPECT_EQ(scrub("a tok/Zq7Vt0UeX1mNc4Kd9, tok/Zq7Vt0UeX1mNc4Kd9", kSecret),
            "a [removed], [removed]");
  EXPECT_EQ(scrub("tok/Zq7Vt0UeX1mNc4Kd9tok/Zq7Vt0UeX1mNc4Kd9", kSecret), "[removed][removed]");
  EXPECT_EQ(scrub(R"({"of":"tok\/Zq7Vt0UeX1mNc4Kd9"})", kSecret), R"({"of":"[removed]"})");
  EXPECT_EQ(scrub("\\/a/b, /a/b", "/a/b"), "[removed], [removed]");
}

TEST(Scrub, RemovesItHoweverOftenItStands) {
  constexpr int kTimes = 300'000;  // moving the rest each time would move a trillion bytes
  std::string text, expected;
  for (int i = 0; i < kTimes; ++i) {
    text.append(kSecret).append(",");
    expected += "[removed],";
  }
  EXPECT_TRUE(scrub(std::move(text), kSecret) == expected);
}

TEST(Scrub, RemovesWhatAnExcerptLeftOfIt) {
  EXPECT_EQ(scrub("cut: tok/Zq7Vt0UeX", kSecret), "cut: [removed]");
  EXPECT_EQ(scrub("cut: tok/Zq7Vt0Ue…", kSecret), "cut: [removed]…");
}

TEST(Scrub, LeavesAllElse) {
  for (const char* text : {"", "tok", "tok/Zq7", "ttok/", "Zq7Vt0UeX1mNc4Kd9", "\\"}) {
    EXPECT_EQ(scrub(text, kSecret), text);
    EXPECT_EQ(scrub(text, ""), text);
  }
}

}  // namespace
}  // namespace perdure::tools
