#include "memory/analyzer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::memory {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

std::unique_ptr<Analyzer> analyzer(std::string_view language) {
  auto made = Analyzer::make(language);
  EXPECT_TRUE(made.has_value()) << language;
  return std::move(*made);
}

TEST(Analyzer, FindsWordsByTheirStems) {
  const auto english = analyzer("english");
  EXPECT_EQ(english->term("adopting"), english->term("Adopted"));
  EXPECT_EQ(english->term("went"), english->term("go"));
  EXPECT_EQ(english->term("Children"), english->term("child"));
  EXPECT_NE(english->term("cat"), english->term("dog"));
}

TEST(Analyzer, KeepsThePlaceOfWordsThatSayNothing) {
  EXPECT_THAT(analyzer("english")->terms("The cats, and the dog!"),
              ElementsAre("", "cat", "", "", "dog"));
}

TEST(Analyzer, AsksForEachTermOnce) {
  EXPECT_THAT(analyzer("english")->query_terms("What did the dog do? Dogs!"), ElementsAre("dog"));
}

TEST(Analyzer, TakesTheStemmerOfAWordsScript) {
  const auto english = analyzer("english");
  EXPECT_EQ(english->term("книгами"), english->term("книга"));
  EXPECT_EQ(analyzer("german")->term("Häuser"), analyzer("german")->term("Hause"));
  EXPECT_THAT(english->terms("東京"), ElementsAre("東", "京"));
}

TEST(Analyzer, RefusesALanguageWithoutAStemmer) {
  const auto made = Analyzer::make("klingon");
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(made.error().param, "language");
  EXPECT_THAT(Analyzer::languages(), Contains("french"));
}

TEST(Analyzer, SurvivesWhatIsNoText) {
  EXPECT_TRUE(analyzer("english")->terms(std::string("\xff\xfe\0\x01", 4)).empty());
}

}  // namespace
}  // namespace perdure::memory
