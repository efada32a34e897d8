#include "engine/function_search.h"

#include <gmock/gmock.h>

namespace perdure::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

FunctionIndex shop() {
  FunctionIndex index;
  index.add({"send_email", "Sends a message to a customer.",
             R"({"type":"object","properties":{"to":{"type":"string"}}})"});
  index.add({"refundOrder", "Gives the money of a purchase back.",
             R"({"type":"object","properties":{"invoice_number":{"type":"string"}}})"});
  index.add({"list_orders", "The purchases of a customer, newest first.",
             R"({"type":"object","properties":{"state":{"enum":["open","shipped"]}}})"});
  index.add({"天気を調べる", "今日の天気。", R"({"type":"object"})"});
  return index;
}

TEST(FunctionSearch, FindsByNameDescriptionAndParameters) {
  EXPECT_THAT(shop().search("email", 5), ElementsAre("send_email"));
  EXPECT_THAT(shop().search("give money back", 5), ElementsAre("refundOrder"));
  EXPECT_THAT(shop().search("number of an invoice", 5), ElementsAre("refundOrder"));
  EXPECT_THAT(shop().search("which are shipped?", 5), ElementsAre("list_orders"));
  EXPECT_THAT(shop().search("天気", 5), ElementsAre("天気を調べる"));
}

TEST(FunctionSearch, ANameCountsMoreThanATextAndTheWholeNameMost) {
  EXPECT_EQ(shop().search("orders", 5).size(), 2u);
  EXPECT_THAT(shop().search("orders of a customer", 1), ElementsAre("list_orders"));
  EXPECT_THAT(shop().search("orders, or refundOrder", 1), ElementsAre("refundOrder"));
}

TEST(FunctionSearch, WordsThatSayNothingFindNothing) {
  EXPECT_THAT(shop().search("what can you do with it?", 5), IsEmpty());
  EXPECT_THAT(shop().search("zebra", 5), IsEmpty());
  EXPECT_THAT(shop().search("", 5), IsEmpty());
  EXPECT_THAT(FunctionIndex().search("email", 5), IsEmpty());
}

TEST(FunctionSearch, EquallyGoodOnesComeInTheOrderOfTheAgent) {
  FunctionIndex index;
  for (const char* name : {"z_ping", "x_ping", "y_ping"}) index.add({name, "", "{}"});
  EXPECT_THAT(index.search("ping", 2), ElementsAre("z_ping", "x_ping"));
}

TEST(FunctionSearch, WordsAreCutWhereNamesHaveThem) {
  EXPECT_THAT(words_of("parseHTTPReply2x"), ElementsAre("parse", "http", "reply2x"));
  EXPECT_THAT(words_of("the Cities-list_of Boxes"), ElementsAre("city", "list", "boxe"));
  EXPECT_THAT(words_of("Größe 天気"), ElementsAre("größe", "天", "気"));
}

}  // namespace
}  // namespace perdure::engine
