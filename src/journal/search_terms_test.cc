#include "journal/search_terms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "journal/limits.h"

namespace perdure::journal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(SearchTerms, WordsAreComparedWithoutCaseAndPlurals) {
  EXPECT_THAT(indexed_terms("Deploys, deploy; the CITIES' city!"),
              ElementsAre("city", "deploy", "the"));
  EXPECT_THAT(indexed_terms("class status this gas bus"),
              ElementsAre("bus", "class", "gas", "status", "this"));
}

TEST(SearchTerms, NamesWithSignsArePartsInOrder) {
  auto terms = terms_at("see search_sessions(v1.2)");
  std::vector<std::string> words;
  for (const TermAt& term : terms) words.push_back(term.term);
  EXPECT_THAT(words, ElementsAre("see", "search", "session", "v1", "2"));
  EXPECT_EQ(terms[1].begin, 4u);
  EXPECT_EQ(terms[1].end, 10u);
}

TEST(SearchTerms, OtherScriptsAreWordsToo) {
  EXPECT_THAT(indexed_terms("ÄRGER ärger МОСКВА москва ΑΘΗΝΑ"),
              ElementsAre("ärger", "αθηνα", "москва"));
  EXPECT_THAT(indexed_terms("東京タワー"), SizeIs(5));
  EXPECT_THAT(indexed_terms("“quoted”—dash…"), ElementsAre("dash", "quoted"));
}

TEST(SearchTerms, BytesThatAreNoTextSeparateWords) {
  using namespace std::string_view_literals;
  EXPECT_THAT(indexed_terms("one\0two\xff three\xc3(four\xed\xa0\x80"sv),
              ElementsAre("four", "one", "three", "two"));
}

TEST(SearchTerms, AVeryLongWordIsFoundByItself) {
  const std::string word(10'000, 'x');
  auto terms = indexed_terms(word);
  ASSERT_THAT(terms, SizeIs(1));
  EXPECT_LE(terms[0].size(), kMaxTermBytes);
  EXPECT_EQ(query_terms(word), terms);
}

TEST(SearchTerms, AQuestionIsWhatItsTellingWordsSay) {
  EXPECT_THAT(query_terms("What did we say about the staging database, the database?"),
              ElementsAre("say", "staging", "database"));
  EXPECT_THAT(query_terms("Does it?"), ElementsAre("doe", "it"));
  EXPECT_THAT(query_terms("to be or NOT to be"), ElementsAre("to", "be", "or", "not"));
  EXPECT_THAT(query_terms("\"*()^: -- ' ;"), IsEmpty());
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "word" + std::to_string(i) + ' ';
  EXPECT_THAT(query_terms(many), SizeIs(kMaxSearchTerms));
}

TEST(SearchTerms, NoTextHasTheTermOfAScope) {
  const std::string scope = scope_term({"p1"});
  EXPECT_NE(scope, scope_term({"p2"}));
  for (const std::string& term : indexed_terms(scope)) EXPECT_NE(term, scope);
}

}  // namespace
}  // namespace perdure::journal
