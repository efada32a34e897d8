// Who may search what, and how it is answered. What is found is the engine's test.
#include "facades/admin/search_api.h"

#include <algorithm>

#include "engine/limits.h"
#include "facades/admin/api_test_support.h"
#include "facades/admin/limits.h"

namespace perdure::facades::admin {
namespace {

class SearchApiTest : public ApiTest {
 protected:
  SearchApiTest() {
    await(keys_.create_project("alpha")).value();
    await(keys_.create_project("beta")).value();
    api_.add_routes(router_);
  }
  void add(const std::string& project, std::uint64_t count, const std::string& text) {
    const SessionKey key{{project}, {"sess_" + std::string(26, 'a')}};
    journal::Append append{.key = key, .workstream = "ws"};
    for (std::uint64_t i = 0; i < count; ++i) append.entries.push_back({.kind = 1, .body = "{}"});
    ASSERT_TRUE(await(appended(&store_, std::move(append))));
    journal::SearchUpdate update{.key = key, .agent = "agent_1", .from = 0, .through = count};
    for (std::uint32_t i = 1; i <= count; ++i)
      update.items.push_back({.place = {i, 0},
                              .turn = 1,
                              .kind = static_cast<journal::SearchKind>((i - 1) % 4),
                              .item = "item_" + std::to_string(i),
                              .time = 1000 * static_cast<UnixMillis>(i),
                              .text = text + std::to_string(i)});
    await(store_.index_items({update})).value();
  }
  static async::Task<bool> appended(journal::JournalStore* store, journal::Append append) {
    co_return (co_await store->append(std::move(append))).has_value();
  }
  http::Response get(http::Query query) { return call("GET", "/api/search", "", std::move(query)); }

  engine::SearchIndex index_{loop_.get_executor(), store_};
  identity::Caller caller_ = alpha_;
  SearchApi api_{index_, keys_, [this](const http::Request&) { return caller_; }};
};

TEST_F(SearchApiTest, AResultSaysWhereItStandsAndHowGoodItIs) {
  add("alpha", 1, "a heron ");
  http::Response response = get({{"q", "heron"}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.body.substr(0, response.body.find("\"score\"")),
            R"({"data":[{"session":"sess_aaaaaaaaaaaaaaaaaaaaaaaaaa",)"
            R"("turn":")" +
                local_id("turn", {"sess_" + std::string(26, 'a')}, {1, 0}) +
                R"(","item":"item_1","kind":"message","role":"user","agent":"agent_1",)"
                R"("workstream":"ws","snippet":"a heron 1",)");
  EXPECT_NE(response.body.find(R"("created_at":1}],"has_more":false,"next":null,"complete":true})"),
            std::string::npos)
      << response.body;
}

TEST_F(SearchApiTest, PagesFollowEachOther) {
  add("alpha", 7, "heron ");
  std::vector<std::string> seen;
  http::Query query{{"q", "heron"}, {"limit", "3"}};
  for (int page = 0; page < 3; ++page) {
    json::object answer = parsed(get(query));
    for (const json::value& hit : answer.at("data").as_array())
      seen.emplace_back(hit.at("item").as_string());
    EXPECT_EQ(answer.at("has_more").as_bool(), page < 2);
    if (page < 2)
      query = {
          {"q", "heron"}, {"limit", "3"}, {"after", std::string(answer.at("next").as_string())}};
  }
  std::ranges::sort(seen);
  EXPECT_EQ(seen, (std::vector<std::string>{"item_1", "item_2", "item_3", "item_4", "item_5",
                                            "item_6", "item_7"}));
}

TEST_F(SearchApiTest, AnotherProjectFindsNothing) {
  add("alpha", 1, "heron ");
  caller_ = beta_;
  EXPECT_EQ(parsed(get({{"q", "heron"}})).at("data").as_array().size(), 0u);
  EXPECT_EQ(get({{"q", "heron"}, {"project", "alpha"}}).status, 404);
  EXPECT_EQ(get({{"q", "heron"}, {"project", "alpha"}}).body,
            get({{"q", "heron"}, {"project", "never"}}).body);
  EXPECT_EQ(get({{"q", "heron"}, {"after", "item_1"}}).status, 400);
  caller_ = operator_;
  EXPECT_EQ(parsed(get({{"q", "heron"}, {"project", "alpha"}})).at("data").as_array().size(), 1u);
}

TEST_F(SearchApiTest, WhoIsNoMemberFindsNothingOfAClosedWorkstream) {
  add("alpha", 2, "heron ");
  const auto found = [&](const identity::Caller& caller, http::Query query) {
    caller_ = caller;
    return parsed(get(std::move(query))).at("data").as_array().size();
  };
  const identity::Caller member{{"alpha"}, "key_m", false};
  EXPECT_EQ(found(alpha_, {{"q", "heron"}}), 2u) << "it is open";
  await(store_.put_row({.project = {"alpha"},
                        .kind = std::string(journal::kWorkstreamMemberKind),
                        .id = journal::member_row_id("ws", "key_m"),
                        .parent = "ws",
                        .body = "{}"},
                       0))
      .value();
  EXPECT_EQ(found(alpha_, {{"q", "heron"}}), 0u);
  EXPECT_EQ(found(alpha_, {{"q", "heron"}, {"workstream", "ws"}}), 0u);
  EXPECT_EQ(found(member, {{"q", "heron"}}), 2u);
  EXPECT_EQ(found(operator_, {{"q", "heron"}, {"project", "alpha"}}), 2u);
  caller_ = alpha_;
  EXPECT_EQ(get({{"q", "heron"}, {"after", "item_1"}}).body,
            get({{"q", "heron"}, {"after", "item_9"}}).body)
      << "what is hidden is no cursor";
}

TEST_F(SearchApiTest, WhatIsNotUnderstoodIsRefusedByName) {
  using Refused = std::pair<http::Query, std::string>;
  const std::vector<Refused> refused = {
      {{}, "q"},
      {{{"q", ""}}, "q"},
      {{{"q", "\"()*"}}, "q"},
      {{{"q", std::string("\0", 1)}}, "q"},
      {{{"q", std::string(engine::kMaxQuestionBytes + 1, 'x')}}, "q"},
      {{{"q", "a"}, {"q", "b"}}, "q"},
      {{{"q", "a"}, {"limit", "0"}}, "limit"},
      {{{"q", "a"}, {"agent", ""}}, "agent"},
      {{{"q", "a"}, {"workstream", "no/thing"}}, "workstream"},
      {{{"q", "a"}, {"after", "item_9"}}, "after"},
      {{{"q", "a"}, {"page", "2"}}, "page"}};
  for (const auto& [query, param] : refused) {
    http::Response response = get(query);
    EXPECT_EQ(response.status, 400) << param;
    EXPECT_EQ(param_of(response), param) << response.body;
  }
}

}  // namespace
}  // namespace perdure::facades::admin
