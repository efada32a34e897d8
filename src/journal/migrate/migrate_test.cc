// A store moved to PostgreSQL and back: everything is there, and dying anywhere costs nothing.
#include "journal/migrate/migrate.h"

#include <filesystem>
#include <map>

#include "base/bytes.h"
#include "journal/limits.h"
#include "journal/migrate/limits.h"
#include "journal/testing/cutting_proxy.h"
#include "journal/testing/fault_vfs.h"
#include "journal/testing/store_fixture.h"

namespace perdure::journal::migrate {
namespace {

using testing::append_of;
using testing::code_of;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::key_of;
using ::testing::Not;
using testing::PostgresServer;
using ::testing::SizeIs;

const SessionKey kMain = key_of("p1", "sess_a");
const SessionKey kPlain = key_of("p1", "sess_b");
const SessionKey kGone = key_of("p2", "sess_c");
const std::string kStrangeCall = std::string("call\xff\xfe\0'\"", 9);
const std::string kStrangeBody = std::string("\0\1\2\xff{\n", 6);
const std::string kUtf8 = "z\u0301\u202e\U0001f600 \u00df";
constexpr UnixMillis kFar = 4'000'000'000'000;

std::string large_body() {
  std::string body;
  for (int i = 0; i < 300'000; ++i) body.push_back(static_cast<char>(i * 7 % 256));
  return body;
}

/// Everything of a store's file but what an opening changes, read by other means than ours.
using Dump = std::map<std::string, std::vector<std::string>>;
Dump dump_of(const std::string& directory) {
  sqlite::Connection file(directory + "/perdure.db", sqlite::Access::kRead);
  Dump dump;
  std::vector<std::string> tables;
  {
    auto names = file.query(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version' "
        "AND name <> 'sqlite_sequence' AND name NOT LIKE 'search%'");
    while (names.next()) tables.push_back(names.text(0));
  }
  for (const std::string& table : tables) {
    std::string columns;
    {
      auto names = file.query("SELECT name FROM pragma_table_info(?)", table);
      while (names.next())
        columns += (columns.empty() ? "" : " || ',' || ") + ("typeof(\"" + names.text(0)) +
                   "\") || ':' || CASE typeof(\"" + names.text(0) + "\") WHEN 'integer' THEN \"" +
                   names.text(0) + "\" ELSE hex(\"" + names.text(0) + "\") END";
    }
    std::string sql = "SELECT " + columns + " FROM \"" + table + "\"";
    if (table == "meta") sql += " WHERE name = 'secret'";
    auto rows = file.query_once(sql + " ORDER BY 1");
    while (rows.next()) {
      const std::string row = rows.text(0);  // a failure prints it
      dump[table].push_back(row.size() < 500 ? row : "SHA-256 " + to_hex(as_view(sha256(row))));
    }
  }
  return dump;
}

class Died {};

/// A store whose process dies before one of its commits.
class Dying final : public Store {
 public:
  /// `left` counts the commits that are still made, by all stores that share it.
  Dying(Store& of, int* left) : of_(of), left_(left) {}

  std::string name() const override { return of_.name(); }
  Result<std::vector<Table>> tables() override { return of_.tables(); }
  Result<Origin> origin() override { return of_.origin(); }
  Result<Marks> marks() override { return of_.marks(); }
  Result<std::vector<Record>> read(const Table& table, const Record* after) override {
    return of_.read(table, after);
  }
  Result<void> hold() override {
    return commit([&] { return of_.hold(); });
  }
  Result<void> begin_copy(const std::vector<Table>& tables, const Mark& mark,
                          const std::string& secret) override {
    return commit([&] { return of_.begin_copy(tables, mark, secret); });
  }
  Result<void> write(const Table& table, const std::vector<Record>& records) override {
    return commit([&] { return of_.write(table, records); });
  }
  Result<void> end_copy(const Origin& origin) override {
    return commit([&] { return of_.end_copy(origin); });
  }
  Result<void> mark_moved(const Mark& mark) override {
    return commit([&] { return of_.mark_moved(mark); });
  }
  Result<void> check_held() override { return of_.check_held(); }

 private:
  Result<void> commit(const std::function<Result<void>()>& work) {
    if ((*left_)-- == 0) throw Died();
    return work();
  }

  Store& of_;
  int* left_;
};

class MigrateTest : public ::testing::Test {
 protected:
  ~MigrateTest() override {
    for (const std::string& url : urls_) server().give_back(url);
  }
  static PostgresServer& server() { return PostgresServer::of_this_program(); }

  /// A place where nothing is yet.
  Place new_directory() {
    directories_.push_back(std::make_unique<testing::TemporaryDirectory>());
    return {.directory = directories_.back()->data()};
  }
  Place new_database() {
    urls_.push_back(server().take_database());
    return {.url = urls_.back()};
  }
  Place new_place(bool postgres) { return postgres ? new_database() : new_directory(); }

  Result<std::unique_ptr<JournalStore>> try_open(const Place& place) {
    if (!place.url.empty()) {
      TRY(store, PostgresJournal::open({.url = place.url}, env_));
      return store;
    }
    TRY(store, SqliteJournal::open({.directory = place.directory}, env_, pool_));
    return store;
  }
  std::unique_ptr<JournalStore> open(const Place& place) {
    auto store = try_open(place);
    if (!store) throw std::runtime_error(store.error().message);
    return std::move(*store);
  }
  /// What a server says at its start; empty: it starts.
  std::string refusal(const Place& place) {
    auto store = try_open(place);
    return store ? "" : store.error().message;
  }

  Result<Summary> move(const Place& from, const Place& to, Options options = {}) {
    Cancellation cancellation;
    TRY(source, open_source(from, cancellation, env_));
    TRY(target, open_target(to, cancellation, env_));
    return migrate::move(*source, *target, options, cancellation, env_);
  }
  void expect_moves(const Place& from, const Place& to, Options options = {}) {
    auto moved = move(from, to, std::move(options));
    ASSERT_TRUE(moved) << moved.error().message;
  }
  std::vector<TableSummary> content(const Place& place) {
    Cancellation cancellation;
    auto store = open_source(place, cancellation, env_);
    if (!store) throw std::runtime_error(store.error().message);
    return *summarise(**store, *(*store)->tables(), {}, cancellation);
  }

  template <class T>
  T must(Task<Result<T>> task) {
    auto result = loop_.run(std::move(task));
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
  }

  /// Rows in every table, and in them what is easily lost.
  void fill(JournalStore& store) {
    const Payer payer{"ws", "agt_1", "large", kUtf8};
    Append first = append_of(kMain, 0, large_body());
    first.workstream = kUtf8;
    first.open = true;
    first.entries.push_back({.kind = 101, .body = kStrangeBody});
    first.entries.push_back({.kind = 102, .body = ""});
    first.open_effects = {{kStrangeCall, 2, "opaque", std::string("\xff\0", 2), EffectState::kOpen},
                          {"", 3, "pure", "", EffectState::kUnknown}};
    first.set_timers = {{"alarm", 17, kStrangeBody}, {"empty", -5, ""}};
    first.outbox = {{0, "mail", kStrangeBody}, {0, "", ""}};
    first.reserve = {{1, 500, payer}, {2, 700, {}}};
    first.idempotency = IdempotencyRecord{
        {{"p1"}, "caller", "POST /x", kStrangeCall}, "hash\xff", 201, kStrangeBody, "sess_a", kFar};
    must(store.append(std::move(first)));
    Append second = append_of(kMain, 3, large_body() + "2");
    second.open = true;
    second.snapshot = Snapshot{3, 7, kStrangeBody};
    second.settle = {{1, 500, payer, {.calls = 1, .input = 10, .output = 5, .cost = 30}}};
    env_.advance(5000);
    must(store.append(std::move(second)));
    must(store.append(append_of(kPlain, 0, "")));  // in no workstream
    must(store.append(append_of(kGone, 0, large_body())));
    must(store.delete_session(kGone, 1));
    must(store.begin_recovery({kPlain}));
    must(store.put_budget({.project = {"p1"},
                           .scope = BudgetScope::kAgent,
                           .id = "agt_1",
                           .limit = 1'000'000,
                           .window = BudgetWindow::kMonth}));
    must(store.put_row({.project = {"p1"}, .kind = "agent", .id = "a", .body = kUtf8}, 0));
    must(store.put_row({.project = {"p1"}, .kind = "agent", .id = "a", .body = "{}"}, 1));
  }

  /// More than one chunk by rows, and by bytes.
  void fill_chunks(JournalStore& store) {
    const SessionKey key = key_of("p3", "long");
    std::uint64_t head = 0;
    while (head < kChunkRows * 2) {
      Append append = append_of(key, head, "entry");
      append.entries.assign(kMaxEntriesPerAppend, {.kind = 11, .body = std::to_string(head)});
      head = must(store.append(std::move(append))).head();
    }
    for (char c : {'a', 'b', 'c'})
      must(store.append(append_of(key, head++, std::string(kChunkBytes * 3 / 4, c))));
  }

  /// What a user of the store sees of `fill`.
  void expect_filled(JournalStore& store) {
    const Loaded loaded = must(store.load(kMain));
    EXPECT_EQ(loaded.row.workstream, kUtf8);
    EXPECT_TRUE(loaded.row.open);
    ASSERT_TRUE(loaded.snapshot);
    EXPECT_EQ(loaded.snapshot->body, kStrangeBody);
    const auto entries = must(store.read({.key = kMain}));
    ASSERT_THAT(entries, SizeIs(4));
    EXPECT_EQ(entries[0].body, large_body());
    EXPECT_EQ(entries[1].body, kStrangeBody);
    EXPECT_EQ(entries[2].body, "");
    EXPECT_EQ(entries[3].time, entries[0].time + 5000);
    EXPECT_EQ(must(store.session(kPlain)).workstream, std::nullopt);
    EXPECT_TRUE(must(store.session(kGone)).deleted);
    const auto effects = must(store.effects(kMain));
    ASSERT_THAT(effects, SizeIs(2));
    EXPECT_EQ(effects[0].call_id, kStrangeCall);
    EXPECT_EQ(effects[1].state, EffectState::kUnknown);
    EXPECT_THAT(must(store.due_timers(Shards().set(shard_of(kMain)), 100, 10)), SizeIs(2));
    EXPECT_THAT(must(store.outbox(10)), SizeIs(2));
    const auto kept =
        must(store.find_idempotency({{"p1"}, "caller", "POST /x", kStrangeCall}, env_.now()));
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->request_hash, "hash\xff");
    EXPECT_EQ(kept->body, kStrangeBody);
    EXPECT_THAT(must(store.reservations(kMain)), SizeIs(1));
    EXPECT_EQ(must(store.budgets({"p1"})).front().spent, 30);
    EXPECT_EQ(must(store.usage({.project = {"p1"}})).front().counts.cost, 30);
    EXPECT_EQ(must(store.get_row({"p1"}, "agent", "a")).version, 2u);
  }

  void write_meanwhile(const Place& place) {
    auto store = open(place);
    must(store->append(append_of(kPlain, must(store->session(kPlain)).head)));
  }

  /// The same bytes have the same address: stored once more, they take no row.
  void expect_blobs_are_known(JournalStore& store, const std::function<std::int64_t()>& blobs) {
    const std::int64_t before = blobs();
    must(store.append(append_of(kPlain, must(store.session(kPlain)).head, large_body())));
    EXPECT_EQ(blobs(), before);
  }

  FakeEnv env_;
  async::BlockingPool pool_{2};
  testing::Loop loop_;
  std::vector<std::unique_ptr<testing::TemporaryDirectory>> directories_;
  std::vector<std::string> urls_;
};

// ---- everything -----------------------------------------------------------------------------

TEST_F(MigrateTest, MovesEverythingThereAndBack) {
  const Place first = new_directory(), database = new_database(), last = new_directory();
  {
    auto store = open(first);
    fill(*store);
    fill_chunks(*store);
  }
  const Dump before = dump_of(first.directory);
  // A table that later gets rows must get some in `fill`, too.
  Options options;
  std::map<std::string, int> chunks;
  options.progress = [&](const Progress& progress) {
    if (progress.step == "copied") ++chunks[std::string(progress.table)];
  };
  auto there = move(first, database, options);
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_THAT(there->tables, SizeIs(before.size() - 1));  // meta
  for (const TableSummary& table : there->tables) {
    EXPECT_GT(table.rows, 0u) << table.name;
    EXPECT_EQ(table.rows, before.at(table.name).size()) << table.name;
    EXPECT_EQ(static_cast<std::uint64_t>(
                  testing::RawPostgres(database.url).number("SELECT count(*) FROM " + table.name)),
              table.rows);
  }
  EXPECT_GE(chunks["journal"], 3);
  EXPECT_GE(chunks["blob"], 2);
  EXPECT_EQ(dump_of(first.directory), before);

  auto back = move(database, last);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->tables, there->tables);
  EXPECT_EQ(dump_of(last.directory), before);

  auto store = open(last);
  expect_filled(*store);
}

TEST_F(MigrateTest, AServerGoesOnWithWhatWasMoved) {
  const Place directory = new_directory(), database = new_database(), again = new_directory();
  std::uint64_t epoch = 0;
  std::uint64_t outbox = 0;
  {
    auto store = open(directory);
    fill(*store);
    for (int i = 0; i < 5; ++i) store.reset(), store = open(directory);
    epoch = store->epoch();
  }
  const auto goes_on = [&](JournalStore& store) {
    EXPECT_GT(store.epoch(), epoch);
    epoch = store.epoch();
    expect_filled(store);
    const std::uint64_t head = must(store.session(kPlain)).head;
    Append append = append_of(kPlain, head);
    append.outbox = {{0, "new", "body"}};
    must(store.append(std::move(append)));
    const std::uint64_t id = must(store.outbox(100)).back().id;
    EXPECT_GT(id, outbox);
    outbox = id;
    must(store.delete_outbox(id));  // and it is not given again
  };
  expect_moves(directory, database);
  {
    auto store = open(database);
    goes_on(*store);
    expect_blobs_are_known(*store, [&] {
      return testing::RawPostgres(database.url).number("SELECT count(*) FROM blob");
    });
  }
  expect_moves(database, again);
  const Place once_more = new_database();
  {
    goes_on(*open(again));
    auto store = open(again);
    goes_on(*store);
    expect_blobs_are_known(*store, [&] {
      sqlite::Connection raw(again.directory + "/perdure.db", sqlite::Access::kRead);
      auto rows = raw.query("SELECT count(*) FROM blob");
      rows.next();
      return rows.integer(0);
    });
  }
  expect_moves(again, once_more);
  auto store = open(once_more);
  goes_on(*store);
}

TEST_F(MigrateTest, BothEnginesHaveTheSameTablesAndColumns) {
  Cancellation cancellation;
  auto left = open_target(new_directory(), cancellation, env_);
  auto right = open_target(new_database(), cancellation, env_);
  ASSERT_TRUE(left && right);
  const auto one = (*left)->tables(), other = (*right)->tables();
  ASSERT_TRUE(one && other);
  ASSERT_EQ(one->size(), other->size());
  for (std::size_t i = 0; i < one->size(); ++i) {
    EXPECT_EQ((*one)[i].name, (*other)[i].name);
    EXPECT_EQ((*one)[i], (*other)[i]) << (*one)[i].name;
    EXPECT_THAT((*one)[i].key, Not(IsEmpty()));
  }
}

TEST_F(MigrateTest, AColumnOfALaterSchemaIsCarried) {
  const Place directory = new_directory(), database = new_database();
  open(directory).reset();
  open(database).reset();
  {
    sqlite::Connection raw(directory.directory + "/perdure.db", sqlite::Access::kWrite);
    raw.execute("ALTER TABLE timer ADD COLUMN later INTEGER");
    raw.execute(
        "INSERT INTO timer VALUES ('p', 's', 'a', 1, x'00', NULL), ('p', 's', 'b', 2, x'', -7)");
  }
  auto refused = move(directory, database);
  ASSERT_FALSE(refused) << "one engine knows a column that the other has not";
  EXPECT_THAT(refused.error().message, HasSubstr("timer"));
  testing::RawPostgres(database.url).execute("ALTER TABLE timer ADD COLUMN later bigint");
  expect_moves(directory, database);
  EXPECT_EQ(testing::RawPostgres(database.url).number("SELECT sum(later)::bigint FROM timer"), -7);
}

TEST_F(MigrateTest, TextThatPostgresqlCannotKeepIsNamed) {
  const Place directory = new_directory(), database = new_database();
  open(directory).reset();
  sqlite::Connection(directory.directory + "/perdure.db", sqlite::Access::kWrite)
      .run(
          "INSERT INTO session (project, id, workstream, head, epoch, created) "
          "VALUES ('p', 's', ?, 1, 1, 1)",
          std::string_view("a\0b", 3));
  auto refused = move(directory, database);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("session (p, s): workstream"));
}

// ---- marks ----------------------------------------------------------------------------------

class MigrateBothWays : public MigrateTest, public ::testing::WithParamInterface<bool> {
 protected:
  Place source() { return new_place(!GetParam()); }
  Place target() { return new_place(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(, MigrateBothWays, ::testing::Values(true, false), [](const auto& info) {
  return info.param ? std::string("ToPostgres") : std::string("ToSqlite");
});

TEST_P(MigrateBothWays, TheSourceIsMarkedAndSaysWhereItWent) {
  const Place from = source(), to = target();
  {
    auto store = open(from);
    fill(*store);
  }
  const auto before = content(from);
  expect_moves(from, to);
  const std::string sentence = refusal(from);
  EXPECT_THAT(sentence, HasSubstr("was moved to "));
  EXPECT_THAT(sentence, HasSubstr(GetParam() ? "database 'test" : to.directory));
  EXPECT_THAT(sentence, HasSubstr("'perdure migrate' from there into an empty store"));
  EXPECT_EQ(refusal(to), "");
  EXPECT_EQ(content(from), before);

  // Neither is taken for something else: not as a source again, and not as a target.
  auto again = move(from, to);
  EXPECT_THAT(again.error().message, HasSubstr("was moved to "));
  auto onto = move(to, from);
  EXPECT_THAT(onto.error().message, HasSubstr("it holds what was moved to "));
  EXPECT_EQ(refusal(to), "");
  // Who says so may still copy what it was then.
  expect_moves(from, target(), {.keep_source = true});
}

TEST_P(MigrateBothWays, AKeptSourceStaysWhatItIs) {
  const Place from = source(), to = target();
  {
    auto store = open(from);
    fill(*store);
  }
  auto copied = move(from, to, {.keep_source = true});
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_TRUE(copied->kept_source);
  EXPECT_EQ(content(from), content(to));
  EXPECT_EQ(refusal(from), "");
  EXPECT_EQ(refusal(to), "");
}

TEST_P(MigrateBothWays, ATargetThatIsNotEmptyIsRefusedAndUndisturbed) {
  const Place from = source(), to = target();
  open(from).reset();
  auto store = open(to);
  must(store->append(append_of(kMain, 0)));
  if (to.url.empty()) store.reset();
  auto refused = move(from, to);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message,
              HasSubstr("is not empty: it holds 1 in 'journal', 1 in 'session'"));
  // A server that has the database goes on.
  if (store) must(store->append(append_of(kMain, 1)));
  EXPECT_EQ(refusal(from), "");
}

TEST_P(MigrateBothWays, WhatEveryServerMakesAtItsStartIsNoContent) {
  const Place from = source(), to = target();
  {
    auto store = open(from);
    must(store->put_row({.project = {"$system"}, .kind = "project", .id = "default", .body = "old"},
                        0));
    auto other = open(to);
    must(other->put_row({.project = {"$system"}, .kind = "project", .id = "default", .body = "new"},
                        0));
  }
  EXPECT_FALSE(move(from, to));
  expect_moves(from, to, {.made_by_opening = {{.kind = "project", .id = "default"}}});
  auto store = open(to);
  EXPECT_EQ(must(store->get_row({"$system"}, "project", "default")).body, "old");
}

TEST_P(MigrateBothWays, ACancelledOneLeavesTheSourceAndStartsOver) {
  const Place from = source(), to = target(), third = source();
  {
    auto store = open(from);
    fill(*store);
    open(third).reset();
  }
  const auto before = content(from);
  {
    Cancellation cancellation;
    auto source = open_source(from, cancellation, env_),
         target = open_target(to, cancellation, env_);
    ASSERT_TRUE(source && target);
    Options options;
    options.progress = [&](const Progress& progress) {
      if (progress.table == "journal") cancellation.raise();
    };
    auto cancelled = migrate::move(**source, **target, options, cancellation, env_);
    ASSERT_FALSE(cancelled);
    EXPECT_THAT(cancelled.error().message, HasSubstr("the same command again starts over"));
  }
  EXPECT_EQ(content(from), before);
  EXPECT_THAT(refusal(to), HasSubstr("holds an unfinished copy of "));
  EXPECT_THAT(refusal(to), HasSubstr("Run the same 'perdure migrate' again"));
  // Half of one store is no place for another, and no source.
  EXPECT_THAT(move(third, to).error().message, HasSubstr("unfinished copy of another store"));
  EXPECT_THAT(move(to, source()).error().message, HasSubstr("holds an unfinished copy of "));
  // What was written since is in the next attempt.
  {
    auto store = open(from);
    must(store->append(append_of(kMain, 4, "later")));
  }
  expect_moves(from, to);
  auto store = open(to);
  EXPECT_EQ(must(store->session(kMain)).head, 5u);
}

TEST_P(MigrateBothWays, DyingAtAnyCommitLosesNothingAndTheSameAgainEndsIt) {
  const Place original = new_directory();
  {
    auto store = open(original);
    fill(*store);
  }
  const auto before = content(original);
  bool ran_through = false;
  for (int commits = 0; !ran_through; ++commits) {
    SCOPED_TRACE("after commit " + std::to_string(commits));
    ASSERT_LT(commits, 100);
    const Place from = source(), to = target();
    if (from.url.empty()) {
      std::filesystem::create_directories(from.directory);
      std::filesystem::copy_file(original.directory + "/perdure.db",
                                 from.directory + "/perdure.db");
    } else {
      expect_moves(original, from, {.keep_source = true});
    }
    {
      Cancellation cancellation;
      auto left_store = open_source(from, cancellation, env_);
      auto right_store = open_target(to, cancellation, env_);
      ASSERT_TRUE(left_store && right_store);
      int left = commits;
      Dying dying_source(**left_store, &left), dying_target(**right_store, &left);
      try {
        auto moved = migrate::move(dying_source, dying_target, {}, cancellation, env_);
        ASSERT_TRUE(moved) << moved.error().message;
        ran_through = true;
      } catch (const Died&) {
      }
    }
    EXPECT_EQ(content(from), before);
    const auto copied = content(to);
    const bool whole = copied == before;
    const bool nothing = std::ranges::all_of(copied, [](const auto& t) { return t.rows == 0; });
    const std::string target_says = refusal(to), source_says = refusal(from);
    // A server opens the target where it is whole and the source says so, or nothing was begun.
    if (target_says.empty()) {
      EXPECT_TRUE(whole || nothing);
      EXPECT_EQ(whole, source_says.contains("was moved to"));
    } else {
      EXPECT_THAT(target_says, HasSubstr("holds an unfinished copy"));
    }
    auto again = move(from, to);
    if (target_says.empty() && whole)
      EXPECT_THAT(again.error().message, HasSubstr("was moved to"));
    else
      EXPECT_TRUE(again) << again.error().message;
    EXPECT_EQ(content(to), before);
    EXPECT_EQ(refusal(to), "");
    EXPECT_THAT(refusal(from), HasSubstr("was moved to"));
    server().give_back(urls_.back());
    urls_.pop_back();
  }
}

// ---- others, and failures -------------------------------------------------------------------

TEST_F(MigrateTest, AServerOpenedMeanwhileMakesTheMigrationFail) {
  for (const bool keep : {false, true}) {
    const Place from = new_database(), to = new_directory();
    {
      auto store = open(from);
      fill(*store);
    }
    Options options{.keep_source = keep};
    options.progress = [&](const Progress& progress) {
      if (progress.step == "compared" && progress.table == "usage") write_meanwhile(from);
    };
    auto failed = move(from, to, options);
    ASSERT_FALSE(failed);
    EXPECT_EQ(refusal(from), "") << failed.error().message;
    EXPECT_THAT(refusal(to), HasSubstr("holds an unfinished copy"));
    expect_moves(from, to, {.keep_source = keep});
  }
}

TEST_F(MigrateTest, AServerThatRunsOnTheSourceWritesNoMore) {
  const Place from = new_database(), to = new_directory();
  auto running = open(from);
  fill(*running);
  expect_moves(from, to);
  EXPECT_EQ(code_of(loop_.run(running->append(append_of(kPlain, 1)))), ErrorCode::kUnavailable);
  EXPECT_EQ(content(from), content(to));
  const Place directory = new_directory();
  auto holder = open(directory);
  EXPECT_THAT(move(directory, new_database()).error().message, HasSubstr("is in use by process"));
}

TEST_F(MigrateTest, ANodeThatLivesIsNotEnded) {
  const Place database = new_database(), directory = new_directory();
  auto node = PostgresJournal::open({.url = database.url, .node = "a"}, env_);
  ASSERT_TRUE(node);
  must((*node)->renew({}));
  fill(**node);
  auto refused = move(database, directory);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("Stop every server on it"));
  must((*node)->append(append_of(kPlain, 1)));  // it was not disturbed
  must((*node)->renew({.url = "", .give_up = {}, .leave = true}));
  expect_moves(database, directory);
  EXPECT_EQ(code_of(loop_.run((*node)->rejoin())), ErrorCode::kConflict);  // the store has moved
}

TEST_F(MigrateTest, ANodeWorksOnWhatWasMoved) {
  const Place directory = new_directory(), database = new_database();
  {
    auto store = open(directory);
    fill(*store);
  }
  expect_moves(directory, database);
  auto node = PostgresJournal::open({.url = database.url, .node = "a"}, env_);
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_TRUE(must((*node)->renew({})).held.all());
  expect_filled(**node);
  must((*node)->append(append_of(kPlain, 1)));
}

TEST_F(MigrateTest, ASourceThatIsNotThereIsRefusedAndNotMade) {
  const Place directory = new_directory(), database = new_database();
  EXPECT_EQ(code_of(move(directory, database)), ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(directory.directory));
  const Place empty = new_database();
  EXPECT_EQ(code_of(move(empty, directory)), ErrorCode::kNotFound);
  EXPECT_EQ(testing::RawPostgres(empty.url).number(
                "SELECT count(*) FROM pg_class WHERE relname = 'session'"),
            0);
}

TEST_F(MigrateTest, AnotherProgramsTablesAndANewerSchemaAreRefused) {
  const Place directory = new_directory(), database = new_database(), newer = new_database();
  open(directory).reset();
  testing::RawPostgres(database.url).execute("CREATE TABLE invoices (id bigint PRIMARY KEY)");
  EXPECT_THAT(move(directory, database).error().message,
              HasSubstr("holds tables of another program (invoices)"));
  open(newer).reset();
  testing::RawPostgres(newer.url).execute("INSERT INTO schema_version VALUES (1000, 0)");
  EXPECT_THAT(move(directory, newer).error().message, HasSubstr("newer perdure"));
  EXPECT_EQ(refusal(directory), "");
}

TEST_F(MigrateTest, ALostConnectionIsASentenceAndTheSourceStays) {
  const Place from = new_directory(), to = new_database();
  {
    auto store = open(from);
    fill(*store);
  }
  const std::string database =
      to.url.substr(to.url.find("@/") + 2, to.url.find('?') - to.url.find("@/") - 2);
  for (const testing::Cut how : {testing::Cut::kBefore, testing::Cut::kAfter}) {
    testing::CuttingProxy proxy(server().socket_directory());
    const Place through{.url = "postgresql://tester@/" + database +
                               "?connect_timeout=60&host=" + proxy.socket_directory()};
    proxy.cut(how, "INSERT INTO \"journal\"");
    auto failed = move(from, through);
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().message, HasSubstr("connection was lost"));
    EXPECT_EQ(refusal(from), "");
    EXPECT_THAT(refusal(to), HasSubstr("holds an unfinished copy"));
  }
  // The last commit of all, done or not, without a word.
  {
    testing::CuttingProxy proxy(server().socket_directory());
    const Place through{.url = "postgresql://tester@/" + database +
                               "?connect_timeout=60&host=" + proxy.socket_directory()};
    proxy.cut(testing::Cut::kBefore, "DELETE FROM meta");
    auto failed = move(from, through);
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().message, HasSubstr("is not certain"));
    EXPECT_THAT(refusal(from), HasSubstr("was moved to"));
    EXPECT_THAT(refusal(to), HasSubstr("holds an unfinished copy"));
  }
  expect_moves(from, to);
  EXPECT_EQ(content(from), content(to));
}

TEST_F(MigrateTest, AFullDiskIsASentenceAndTheNextAttemptEndsIt) {
  const Place from = new_database();
  {
    auto store = open(from);
    fill(*store);
    fill_chunks(*store);
  }
  Place to = new_directory();
  testing::FaultVfs disk(to.directory);
  to.vfs = testing::FaultVfs::name();
  Options options;
  options.progress = [&, full = false](const Progress& progress) mutable {
    if (!std::exchange(full, true)) disk.leave_free(500'000);
    (void)progress;
  };
  auto failed = move(from, to, options);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("The disk is full"));
  EXPECT_EQ(refusal(from), "");
  disk.make_room();
  EXPECT_THAT(refusal(to), HasSubstr("holds an unfinished copy"));
  expect_moves(from, to);
  EXPECT_EQ(content(from), content(to));
}

}  // namespace
}  // namespace perdure::journal::migrate
