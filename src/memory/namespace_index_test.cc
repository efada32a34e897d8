#include "memory/namespace_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace perdure::memory {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class NamespaceIndexTest : public ::testing::Test {
 protected:
  struct Line {
    std::string text, conversation, speaker;
    Speaking role = Speaking::kNobody;
  };
  static void add(NamespaceIndex* index, const Line& line) {
    index->add({.text = line.text,
                .conversation = line.conversation,
                .speaker = line.speaker,
                .role = line.role});
  }
  std::vector<DocumentNumber> found(const NamespaceIndex& index, std::string_view question,
                                    std::size_t limit = 10, const Admit& admit = nullptr) {
    std::vector<DocumentNumber> numbers;
    for (const Match& match : index.search(question, limit, admit, &scratch_))
      numbers.push_back(match.document);
    return numbers;
  }
  /// Lines of words of which some are common and some rare.
  static std::vector<Line> babble(std::size_t count, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<Line> lines;
    for (std::size_t at = 0; at < count; ++at) {
      Line line{.text = {},
                .conversation = "c" + std::to_string(random() % 7),
                .speaker = random() % 2 ? "Ann" : "Bob",
                .role = random() % 3 ? Speaking::kUser : Speaking::kAgent};
      const std::size_t words = random() % 5 == 0 ? 1 + random() % 300 : 1 + random() % 20;
      for (std::size_t word = 0; word < words; ++word) {
        const std::uint32_t most = 1U << (random() % 9);
        line.text += "w" + std::to_string(random() % most) + "x ";
      }
      lines.push_back(std::move(line));
    }
    return lines;
  }

  std::unique_ptr<Analyzer> analyzer_ = std::move(*Analyzer::make("english"));
  NamespaceIndex index_{analyzer_.get()};
  Scratch scratch_;
};

TEST_F(NamespaceIndexTest, FindsWhatHasTheRarestWords) {
  add(&index_, {"I like tea", "", ""});
  add(&index_, {"I like coffee", "", ""});
  add(&index_, {"I like my zebra", "", ""});
  EXPECT_THAT(found(index_, "Who likes a zebra?", 1), ElementsAre(2));
  EXPECT_THAT(found(index_, "violins"), IsEmpty());
  EXPECT_THAT(found(index_, "the of and"), IsEmpty());
  EXPECT_THAT(found(index_, ""), IsEmpty());
}

TEST_F(NamespaceIndexTest, AnAnswerIsFoundByItsQuestion) {
  add(&index_, {"Where did you spend your holidays?", "c", ""});
  add(&index_, {"In Lisbon, with my aunt.", "c", ""});
  add(&index_, {"Nice weather today", "other", ""});
  EXPECT_THAT(found(index_, "holidays"), ElementsAre(0, 1));
}

TEST_F(NamespaceIndexTest, NeighboursAreOfOneConversation) {
  add(&index_, {"Where did you spend your holidays?", "c", ""});
  add(&index_, {"Something else", "d", ""});
  add(&index_, {"In Lisbon, with my aunt.", "c", ""});
  EXPECT_THAT(found(index_, "holidays"), ElementsAre(0, 2));
}

TEST_F(NamespaceIndexTest, WhoIsNamedGoesFirst) {
  add(&index_, {"I bought a red bicycle", "", "Ann"});
  add(&index_, {"I bought a red bicycle", "", "Bob"});
  add(&index_, {"I bought a red bicycle", "", "Cid"});
  EXPECT_EQ(found(index_, "Which bicycle did Ann buy?").front(), 0U);
  EXPECT_EQ(found(index_, "Which bicycle did Bob buy?").front(), 1U);
  EXPECT_EQ(found(index_, "Which bicycle did Ann buy?").size(), 3U) << "a boost is no filter";
}

TEST_F(NamespaceIndexTest, LongTextsCountByTheirBestPiece) {
  std::string tail;
  for (int word = 0; word < 600; ++word) tail += " filler" + std::to_string(word % 50);
  add(&index_, {"The launch code is swordfish." + tail, "", ""});
  add(&index_, {"swordfish and a few other words", "", ""});
  EXPECT_THAT(found(index_, "swordfish"), ElementsAre(1, 0));
  add(&index_, {tail + " albatross", "", ""});
  EXPECT_THAT(found(index_, "albatross"), ElementsAre(2));
}

TEST_F(NamespaceIndexTest, ShowsOnlyWhatIsAdmitted) {
  for (int at = 0; at < 30; ++at) add(&index_, {"blue elephant", "", ""});
  EXPECT_THAT(found(index_, "elephant", 3, [](DocumentNumber one) { return one % 10 == 0; }),
              ElementsAre(20, 10, 0));
}

// The early end must not be seen: the first of many are the first of all.
TEST_F(NamespaceIndexTest, PruningChangesNoRank) {
  for (const Line& line : babble(3'000, 7)) add(&index_, line);
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    std::string question = round % 3 == 0 ? "Ann " : "";
    for (int word = 0; word < 6; ++word)
      question += "w" + std::to_string(random() % (1U << (random() % 9))) + "x ";
    const auto all = index_.search(question, index_.size(), nullptr, &scratch_);
    const auto ten = index_.search(question, 10, nullptr, &scratch_);
    ASSERT_EQ(ten.size(), std::min<std::size_t>(10, all.size()));
    for (std::size_t at = 0; at < ten.size(); ++at) {
      EXPECT_EQ(ten[at].document, all[at].document) << question;
      EXPECT_EQ(ten[at].score, all[at].score) << question;
    }
  }
}

TEST_F(NamespaceIndexTest, WhatIsErasedHasNeverBeen) {
  const auto lines = babble(400, 3);
  NamespaceIndex never(analyzer_.get());
  std::vector<DocumentNumber> gone;
  for (DocumentNumber at = 0; at < lines.size(); ++at) {
    add(&index_, lines[at]);
    if (at % 3 == 1 || lines[at].speaker == "Bob")
      gone.push_back(at);
    else
      add(&never, lines[at]);
  }
  index_.erase(gone);
  for (const Line& line : babble(20, 5)) {
    add(&index_, line);
    add(&never, line);
  }
  ASSERT_EQ(index_.size(), never.size());
  for (const char* question : {"w1x w2x w100x", "Bob w3x", "Ann w0x w7x w9x"}) {
    const auto left = index_.search(question, 50, nullptr, &scratch_);
    const auto right = never.search(question, 50, nullptr, &scratch_);
    ASSERT_EQ(left.size(), right.size());
    for (std::size_t at = 0; at < left.size(); ++at) {
      EXPECT_EQ(left[at].document, right[at].document) << question;
      EXPECT_EQ(left[at].score, right[at].score) << question;
    }
  }
}

TEST_F(NamespaceIndexTest, ExplainsAScore) {
  add(&index_, {"Where did you spend your holidays?", "c", "Ann", Speaking::kUser});
  add(&index_, {"In Lisbon, with my aunt.", "c", "Bob", Speaking::kUser});
  const auto match = index_.search("Bob's holidays in Lisbon", 1, nullptr, &scratch_).at(0);
  ASSERT_EQ(match.document, 1U);
  const Explanation why = index_.explain("Bob's holidays in Lisbon", 1);
  float sum = 0;
  for (const TermShare& term : why.terms) {
    sum += term.share;
    EXPECT_EQ(term.source, term.term == "holiday" ? 0U : 1U) << term.term;
  }
  EXPECT_EQ(why.terms.size(), 3U);
  EXPECT_FLOAT_EQ(match.score, sum * why.speaker_boost * why.role_boost);
  EXPECT_GT(why.speaker_boost, 1);
}

}  // namespace
}  // namespace perdure::memory
