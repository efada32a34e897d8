#include "engine/search_rank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "engine/limits.h"
#include "journal/search_terms.h"

namespace perdure::engine {
namespace {

using journal::SearchKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

journal::FoundItem item(std::string text, UnixMillis time = 1,
                        SearchKind kind = SearchKind::kUser) {
  return {.session = {"sess_1"},
          .item = {.place = {static_cast<std::uint64_t>(time), 0},
                   .kind = kind,
                   .time = time,
                   .text = std::move(text)}};
}

std::vector<std::size_t> order(const std::vector<journal::FoundItem>& items,
                               std::vector<std::size_t> counts, std::string_view question) {
  std::vector<std::size_t> order;
  for (const Ranked& one : rank({items, std::move(counts)}, journal::query_terms(question))) {
    EXPECT_GT(one.score, 0);
    order.push_back(one.index);
  }
  return order;
}

TEST(SearchRank, RareWordsAndMoreOfThemComeFirst) {
  EXPECT_THAT(order({item("a deploy went out"), item("the zanzibar deploy"), item("zanzibar")},
                    {50, 2}, "deploy zanzibar"),
              ElementsAre(1, 2, 0));
}

TEST(SearchRank, OfEqualsTheNewestIsFirst) {
  EXPECT_THAT(order({item("same words", 5), item("same words", 9), item("same words", 7)}, {3, 3},
                    "same words"),
              ElementsAre(1, 2, 0));
}

TEST(SearchRank, WhatPeopleSayWeighsMoreThanWhatToolsPrint) {
  EXPECT_THAT(order({item("error", 9, SearchKind::kToolResult), item("error", 1)}, {2}, "error"),
              ElementsAre(1, 0));
}

TEST(SearchRank, ALongItemMustSayItMoreOften) {
  std::string padding;
  for (int i = 0; i < 500; ++i) padding += " filler";
  EXPECT_THAT(order({item("needle" + padding, 9), item("needle here", 1)}, {2}, "needle"),
              ElementsAre(1, 0));
}

TEST(SearchRank, ASnippetIsBoundedTextAroundTheWords) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "écrit\n\t";
  text += "the secret port is 8443 ";
  for (int i = 0; i < 400; ++i) text += "после ";
  const std::string shown = snippet(text, journal::query_terms("secret port"));
  EXPECT_LE(shown.size(), kMaxSnippetBytes);
  EXPECT_TRUE(is_valid_utf8(shown));
  EXPECT_THAT(shown, HasSubstr("the secret port is 8443"));
  EXPECT_THAT(shown, ::testing::StartsWith("…"));
  EXPECT_THAT(shown, ::testing::EndsWith("…"));
  EXPECT_EQ(shown.find('\n'), std::string::npos);
  EXPECT_EQ(snippet(" short\n text ", {"text"}), "short text");
}

TEST(SearchRank, ASnippetReachesBothEnds) {
  const std::string filler(1000, '-');
  EXPECT_THAT(snippet(filler + " end", {"end"}), ::testing::EndsWith(" end"));
  EXPECT_THAT(snippet("begin " + filler, {"begin"}), ::testing::StartsWith("begin "));
  for (std::size_t cut = 0; cut < 8; ++cut) {
    std::string text;
    for (int i = 0; i < 300; ++i) text += "東";
    EXPECT_TRUE(is_valid_utf8(snippet(std::string(cut, 'x') + text, {"東"})));
    EXPECT_TRUE(is_valid_utf8(snippet(text + std::string(cut, 'x'), {"x"})));
  }
}

}  // namespace
}  // namespace perdure::engine
