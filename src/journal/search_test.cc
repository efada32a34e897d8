// The search index of a store, on every store: what it finds, for whom, and what deletions leave.
#include "journal/search.h"

#include "journal/limits.h"
#include "journal/search_terms.h"
#include "journal/testing/store_fixture.h"

namespace perdure::journal {
namespace {

using testing::append_of;
using testing::code_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::key_of;
using testing::RawPostgres;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

const SessionKey kA = key_of("p1", "sess_a");
const SessionKey kB = key_of("p1", "sess_b");
const SessionKey kOther = key_of("p2", "sess_c");

class SearchStore : public testing::StoreTest {
 protected:
  Result<void> index(std::vector<SearchUpdate> updates) {
    return loop_.run(store_->index_items(std::move(updates)));
  }
  static SearchUpdate update(const SessionKey& key, std::uint64_t from, std::uint64_t through,
                             std::vector<std::string> texts, std::string agent = "agent_1") {
    SearchUpdate update{.key = key, .agent = std::move(agent), .from = from, .through = through};
    for (std::uint32_t i = 0; i < texts.size(); ++i)
      update.items.push_back({.place = {through, i},
                              .turn = 1,
                              .kind = SearchKind::kAssistant,
                              .item = "msg_" + std::to_string(through) + "_" + std::to_string(i),
                              .time = 1000 + static_cast<UnixMillis>(through),
                              .text = std::move(texts[i])});
    return update;
  }
  FoundItems find(SearchQuery query) {
    if (query.per_list == 0) query.per_list = 10;
    auto found = loop_.run(store_->find_items(std::move(query)));
    EXPECT_TRUE(found) << found.error().message;
    return found ? std::move(*found) : FoundItems{};
  }
  std::vector<std::string> texts(SearchQuery query) {
    std::vector<std::string> texts;
    for (FoundItem& one : find(std::move(query)).items) texts.push_back(std::move(one.item.text));
    return texts;
  }
  static SearchQuery ask(std::string_view question, std::string project = "p1") {
    return {.project = {std::move(project)}, .terms = query_terms(question)};
  }
  std::vector<std::string> behind(std::optional<ProjectId> of = std::nullopt) {
    auto lag = loop_.run(store_->search_lag(std::move(of), std::nullopt, 100));
    std::vector<std::string> all;
    for (const SearchLag& one : lag.value())
      all.push_back(one.key.session.value + " " + std::to_string(one.through) + " of " +
                    std::to_string(one.head));
    return all;
  }
};

INSTANTIATE_TEST_SUITE_P(, SearchStore, ::testing::Values("sqlite", "postgres", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(SearchStore, ItemsAreFoundByTheirWordsWithAllThatIsKnownOfThem) {
  Append first = append_of(kA, 0);
  first.workstream = "ws";
  ASSERT_TRUE(append(first));
  ASSERT_TRUE(index({update(kA, 0, 1, {"The staging Databases are slow", "nothing here"})}));
  FoundItems found = find(ask("a staging database?"));
  ASSERT_THAT(found.items, SizeIs(1));
  EXPECT_THAT(found.counts, ElementsAre(1, 1));
  const FoundItem& one = found.items[0];
  EXPECT_EQ(one.session, kA.session);
  EXPECT_EQ(one.agent, "agent_1");
  EXPECT_EQ(one.workstream, "ws");
  EXPECT_EQ(one.item.place, (Place{1, 0}));
  EXPECT_EQ(one.item.turn, 1u);
  EXPECT_EQ(one.item.kind, SearchKind::kAssistant);
  EXPECT_EQ(one.item.item, "msg_1_0");
  EXPECT_EQ(one.item.time, 1001);
  EXPECT_EQ(one.item.text, "The staging Databases are slow");
  EXPECT_THAT(texts(ask("staging nowhere")), SizeIs(1));
  EXPECT_THAT(texts(ask("nowhere")), IsEmpty());
}

TEST_P(SearchStore, TheLagIsWhatIsNotIndexed) {
  fill(kB, 3);
  fill(kA, 2);
  fill(kOther, 1);
  EXPECT_THAT(behind(), ElementsAre("sess_a 0 of 2", "sess_b 0 of 3", "sess_c 0 of 1"));
  EXPECT_THAT(behind(ProjectId{"p2"}), ElementsAre("sess_c 0 of 1"));
  ASSERT_TRUE(index({update(kA, 0, 2, {"x"}), update(kB, 0, 2, {})}));
  EXPECT_THAT(behind(ProjectId{"p1"}), ElementsAre("sess_b 2 of 3"));
  ASSERT_TRUE(index({update(kB, 2, 3, {"y"})}));
  EXPECT_THAT(behind(ProjectId{"p1"}), IsEmpty());
  ASSERT_TRUE(append(append_of(kA, 2)));
  reopen();
  EXPECT_THAT(behind(), ElementsAre("sess_a 2 of 3", "sess_c 0 of 1"));
  auto rest = loop_.run(store_->search_lag(std::nullopt, kB, 100));
  ASSERT_THAT(*rest, SizeIs(1));
  EXPECT_EQ(rest->front().key, kOther);
  EXPECT_THAT(*loop_.run(store_->search_lag(std::nullopt, std::nullopt, 1)), SizeIs(1));
  auto these = loop_.run(store_->search_lag_of({kOther, kB, kA, key_of("p1", "sess_never")}));
  ASSERT_THAT(*these, SizeIs(2));
  EXPECT_EQ(these->at(0).key, kA);
  EXPECT_EQ(these->at(0).through, 2u);
  EXPECT_EQ(these->at(1).key, kOther);
}

TEST_P(SearchStore, WhoComesSecondAddsNothing) {
  fill(kA, 3);
  ASSERT_TRUE(index({update(kA, 0, 2, {"apples"})}));
  ASSERT_TRUE(index({update(kA, 0, 2, {"apples"})}));
  ASSERT_TRUE(index({update(kA, 1, 3, {"apples"})}));
  EXPECT_THAT(texts(ask("apple")), SizeIs(1));
  EXPECT_THAT(behind(), ElementsAre("sess_a 2 of 3"));
  // One that was slower does not keep its neighbours from being indexed.
  fill(kB, 1);
  ASSERT_TRUE(index({update(kA, 1, 3, {"pears"}), update(kB, 0, 1, {"pears"})}));
  EXPECT_THAT(texts(ask("pear")), SizeIs(1));
}

TEST_P(SearchStore, ScopesAreKept) {
  Append first = append_of(kA, 0);
  first.workstream = "ws";
  ASSERT_TRUE(append(first));
  fill(kB, 1);
  fill(kOther, 1);
  ASSERT_TRUE(index({update(kA, 0, 1, {"fish in a"}), update(kB, 0, 1, {"fish in b"}, "agent_2"),
                     update(kOther, 0, 1, {"fish elsewhere"})}));
  EXPECT_THAT(texts(ask("fish")), ElementsAre("fish in a", "fish in b"));
  EXPECT_THAT(texts(ask("fish", "p2")), ElementsAre("fish elsewhere"));
  EXPECT_THAT(texts(ask("fish", "p3")), IsEmpty());
  SearchQuery query = ask("fish");
  query.workstream = "ws";
  EXPECT_THAT(texts(query), ElementsAre("fish in a"));
  query = ask("fish");
  query.agent = "agent_2";
  EXPECT_THAT(texts(query), ElementsAre("fish in b"));
  query = ask("fish");
  query.but = "sess_a";
  EXPECT_THAT(texts(query), ElementsAre("fish in b"));
}

/// A store with members of workstreams, and sessions in them.
class MembersStore : public SearchStore {
 protected:
  void add_member(const std::string& workstream, const std::string& principal,
                  const std::string& project = "p1") {
    Row row{.project = {project},
            .kind = std::string(kWorkstreamMemberKind),
            .id = member_row_id(workstream, principal),
            .parent = workstream,
            .body = R"({"v":1})"};
    ASSERT_TRUE(loop_.run(store_->put_row(std::move(row), 0)));
  }
  void add_session(const SessionKey& key, std::optional<std::string> workstream, std::string text) {
    Append first = append_of(key, 0);
    first.workstream = std::move(workstream);
    ASSERT_TRUE(append(first));
    ASSERT_TRUE(index({update(key, 0, 1, {std::move(text)})}));
  }
  static Viewer viewer(std::string principal, std::optional<std::string> workstream = {}) {
    return {.principal = std::move(principal), .workstream = std::move(workstream)};
  }
  std::vector<std::string> found_by(std::optional<Viewer> who) {
    SearchQuery query = ask("fish");
    query.viewer = std::move(who);
    return texts(std::move(query));
  }
  std::vector<std::string> listed_by(std::optional<Viewer> who, bool ascending = true,
                                     std::size_t limit = 100) {
    SessionQuery query{.project = {"p1"}, .after = {}, .limit = limit, .ascending = ascending};
    query.viewer = std::move(who);
    std::vector<std::string> all;
    while (true) {
      auto page = loop_.run(store_->list_sessions(query));
      EXPECT_TRUE(page) << page.error().message;
      for (const SessionRow& row : *page) all.push_back(row.key.session.value);
      if (page->size() < limit) return all;
      query.after = all.back();
    }
  }
};

INSTANTIATE_TEST_SUITE_P(, MembersStore, ::testing::Values("sqlite", "postgres", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(MembersStore, WhatIsInAClosedWorkstreamIsItsMembersAlone) {
  const SessionKey none = key_of("p1", "sess_none"), open = key_of("p1", "sess_open"),
                   closed = key_of("p1", "sess_shut"), other = key_of("p1", "sess_xtra");
  add_session(none, {}, "fish of nobody");
  add_session(open, "lake", "fish in the lake");
  add_session(closed, "pond", "fish in the pond");
  add_session(other, "pool", "fish in the pool");
  add_member("pond", "key_a");
  add_member("pool", "key_b");
  // Members of the same names in another project, and rows of another kind, say nothing here.
  add_member("lake", "key_c", "p2");
  add_member("pond", "key_c", "p2");

  EXPECT_THAT(found_by({}), SizeIs(4));
  EXPECT_THAT(found_by(viewer("key_a")),
              UnorderedElementsAre("fish of nobody", "fish in the lake", "fish in the pond"));
  EXPECT_THAT(found_by(viewer("key_b")),
              UnorderedElementsAre("fish of nobody", "fish in the lake", "fish in the pool"));
  for (const char* stranger : {"key_c", "key", "a", "/key_a", "key_a/", "%", ""})
    EXPECT_THAT(found_by(viewer(stranger)),
                UnorderedElementsAre("fish of nobody", "fish in the lake"))
        << stranger;
  EXPECT_THAT(found_by(viewer("", "pond")),
              UnorderedElementsAre("fish of nobody", "fish in the lake", "fish in the pond"));
  EXPECT_THAT(listed_by(viewer("key_a")), ElementsAre("sess_none", "sess_open", "sess_shut"));
  EXPECT_THAT(listed_by(viewer("key_c")), ElementsAre("sess_none", "sess_open"));
  EXPECT_THAT(listed_by(viewer("", "pool")), ElementsAre("sess_none", "sess_open", "sess_xtra"));
  EXPECT_THAT(listed_by({}), SizeIs(4));

  const auto sees = [&](const char* workstream, Viewer who) {
    return *loop_.run(may_see(store_.get(), {"p1"}, workstream, std::move(who)));
  };
  EXPECT_TRUE(sees("pond", viewer("key_a")));
  EXPECT_FALSE(sees("pond", viewer("key_b")));
  EXPECT_FALSE(sees("pond", viewer("")));
  EXPECT_TRUE(sees("pond", viewer("", "pond")));
  EXPECT_FALSE(sees("pond", viewer("", "pool")));
  EXPECT_TRUE(sees("lake", viewer("key_b")));
  EXPECT_TRUE(sees("never", viewer("key_b")));

  // Without members it is open again.
  ASSERT_TRUE(loop_.run(store_->delete_row({"p1"}, std::string(kWorkstreamMemberKind),
                                           member_row_id("pond", "key_a"))));
  reopen();
  EXPECT_THAT(found_by(viewer("key_b")), SizeIs(4));
  EXPECT_THAT(listed_by(viewer("key_c")), ElementsAre("sess_none", "sess_open", "sess_shut"));
}

TEST_P(MembersStore, HiddenSessionsTakeNoPlaceInAnyList) {
  add_member("pond", "key_a");
  std::vector<std::string> shown;
  for (int i = 0; i < 24; ++i) {
    const std::string id = "sess_" + std::string(1, static_cast<char>('a' + i));
    const bool hidden = i % 3 != 0;
    add_session(key_of("p1", id), hidden ? std::optional<std::string>("pond") : std::nullopt,
                hidden ? "fish hidden" : "fish shown");
    if (!hidden) shown.push_back(id);
  }
  SearchQuery query = ask("fish");
  query.per_list = 8;
  query.viewer = viewer("key_b");
  const FoundItems found = find(std::move(query));
  EXPECT_THAT(found.counts, ElementsAre(8))
      << "the newest are hidden, and older ones fill the list";
  for (const FoundItem& one : found.items) EXPECT_EQ(one.item.text, "fish shown");
  for (std::size_t limit = 1; limit <= shown.size() + 1; ++limit) {
    EXPECT_EQ(listed_by(viewer("key_b"), true, limit), shown) << limit;
    EXPECT_EQ(listed_by(viewer("key_b"), false, limit),
              std::vector<std::string>(shown.rbegin(), shown.rend()))
        << limit;
  }
  // What is hidden is no cursor either.
  SessionQuery behind{.project = {"p1"}, .after = "sess_b"};
  EXPECT_TRUE(loop_.run(store_->list_sessions(behind)));
  behind.viewer = viewer("key_b");
  EXPECT_EQ(code_of(loop_.run(store_->list_sessions(behind))), ErrorCode::kNotFound);
}

/// One that may have been left by an older program.
class OlderStore : public MembersStore {};

INSTANTIATE_TEST_SUITE_P(, OlderStore, ::testing::Values("sqlite", "postgres"),
                         [](const auto& info) { return info.param; });

TEST_P(OlderStore, NamesThatSessionsCarryBecomeWorkstreams) {
  const auto add = [&](const char* session, std::optional<std::string> workstream, UnixMillis at) {
    Append first = append_of(key_of("p1", session), 0);
    first.workstream = std::move(workstream);
    first.time = at;
    ASSERT_TRUE(append(first));
  };
  add("sess_a", "lake", 3000);
  add("sess_b", "lake", 2000);
  add("sess_c", "pond", 4000);
  add("sess_d", {}, 5000);
  add("sess_e", "gone", 6000);
  ASSERT_TRUE(loop_.run(store_->delete_session(key_of("p1", "sess_e"), 1)));
  store_.reset();
  if (url_.empty()) {
    sqlite::Connection raw(directory_.database(), sqlite::Access::kWrite);
    raw.execute("DELETE FROM schema_version WHERE version = 4");
  } else {
    RawPostgres(url_).execute("DELETE FROM schema_version WHERE version = 5");
  }
  open();
  auto rows = loop_.run(store_->list_rows({.project = {"p1"},
                                           .kind = std::string(kWorkstreamKind),
                                           .parent = {},
                                           .after = {},
                                           .ascending = true}));
  ASSERT_THAT(*rows, SizeIs(2));
  EXPECT_EQ(rows->at(0).id, "lake");
  EXPECT_EQ(rows->at(0).created, 2000);
  EXPECT_EQ(rows->at(0).version, 1u);
  EXPECT_EQ(rows->at(0).body, R"({"v":1})");
  EXPECT_EQ(rows->at(1).id, "pond");
}

TEST_P(SearchStore, AListHasTheNewestAndAllWordsTogetherAreNotLost) {
  fill(kA, 21);
  std::vector<SearchUpdate> updates;
  for (std::uint64_t seq = 1; seq <= 21; ++seq) {
    std::string text =
        seq == 1 ? "red and blue" : (seq % 2 ? "red " : "blue ") + std::to_string(seq);
    ASSERT_TRUE(index({update(kA, seq - 1, seq, {text})}));
  }
  SearchQuery query = ask("red blue");
  query.per_list = 2;
  FoundItems found = find(query);
  EXPECT_THAT(found.counts, ElementsAre(2, 2));
  std::vector<std::string> texts;
  for (const FoundItem& one : found.items) texts.push_back(one.item.text);
  EXPECT_THAT(texts, ElementsAre("red and blue", "blue 18", "red 19", "blue 20", "red 21"));
}

TEST_P(SearchStore, ADeletedSessionIsGoneAtOnceAndForGood) {
  fill(kA, 2);
  fill(kB, 1);
  ASSERT_TRUE(
      index({update(kA, 0, 1, {"secret word", "and another"}), update(kB, 0, 1, {"word"})}));
  ASSERT_TRUE(loop_.run(store_->delete_session(kA, 2)));
  EXPECT_THAT(texts(ask("secret word another")), ElementsAre("word"));
  EXPECT_THAT(find(ask("secret")).counts, ElementsAre(0));
  EXPECT_THAT(behind(), IsEmpty());
  // An indexer that knew nothing of it changes nothing.
  ASSERT_TRUE(index({update(kA, 1, 2, {"secret"})}));
  ASSERT_TRUE(index({update(kA, 0, 2, {"secret"})}));
  EXPECT_THAT(texts(ask("secret")), IsEmpty());
  if (GetParam() == "sqlite") {
    sqlite::Connection raw(directory_.database(), sqlite::Access::kWrite);
    raw.execute("INSERT INTO search_text (search_text) VALUES ('integrity-check')");
    auto rows = raw.query("SELECT count(*) FROM search_item");
    rows.next();
    EXPECT_EQ(rows.integer(0), 1);
  } else if (GetParam() == "postgres") {
    EXPECT_EQ(RawPostgres(url_).number("SELECT count(*) FROM search_item"), 1);
    EXPECT_EQ(RawPostgres(url_).number("SELECT count(*) FROM search_session"), 1);
  }
}

TEST_P(SearchStore, WhatLooksLikeAQueryLanguageIsText) {
  fill(kA, 1);
  ASSERT_TRUE(index({update(kA, 0, 1,
                            {"NEAR(a b) 'quoted' \"or\" terms:x * & | ! <-> \\ % _", "ünïcödé 東京",
                             std::string(kMaxSearchText, 'z')})}));
  for (const char* question : {"NEAR(a b)", "quoted' OR '1'='1", "\"or\"", "terms:x", "a & b",
                               "!x | NOT x", "<->", "\\\\", "tokyo 東京", "UNICODE ünïcödé"}) {
    SearchQuery query = ask(question);
    if (query.terms.empty()) continue;
    find(std::move(query));
  }
  EXPECT_THAT(texts(ask("'quoted'")), SizeIs(1));
  EXPECT_THAT(texts(ask("京")), SizeIs(1));
  EXPECT_THAT(texts(ask(std::string(kMaxSearchText, 'z'))), SizeIs(1));
}

TEST_P(SearchStore, LimitsAreRefusedWithASentence) {
  fill(kA, 1);
  EXPECT_EQ(code_of(index({update(kA, 0, 1, {std::string(kMaxSearchText + 1, 'z')})})),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(index({update(kA, 0, 1, {std::string("a\0b", 3)})})),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(index({update(kA, 1, 1, {})})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(index({update(kB, 0, 1, {}), update(kA, 0, 1, {})})),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(loop_.run(store_->find_items({.project = {"p1"}, .per_list = 1}))),
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace perdure::journal
