// What only the PostgreSQL store does: a lost connection around a commit, a database that crashes,
// openings that take it over, what it refuses at the start, and what its messages never say.
#include "journal/postgres/postgres_journal.h"

#include <signal.h>

#include <array>
#include <set>
#include <thread>

#include "journal/limits.h"
#include "journal/postgres/migrations.h"
#include "journal/testing/cutting_proxy.h"
#include "journal/testing/store_fixture.h"

namespace perdure::journal {
namespace {

using testing::append_of;
using testing::code_of;
using testing::Cut;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::key_of;
using ::testing::Not;
using testing::PostgresServer;
using ::testing::SizeIs;

const SessionKey kA = key_of("p1", "sess_a");

class PostgresStore : public testing::StoreTest {
 protected:
  PostgresServer& server() { return PostgresServer::of_this_program(); }
  std::string database() const {
    std::size_t begin = url_.find("@/") + 2;
    return url_.substr(begin, url_.find('?') - begin);
  }
  /// The store's database as seen through a proxy.
  std::string url_through(const testing::CuttingProxy& proxy) const {
    return "postgresql://tester@/" + database() +
           "?connect_timeout=60&host=" + proxy.socket_directory();
  }
  void open_at(const std::string& url) {
    store_.reset();
    auto opened = PostgresJournal::open({.url = url}, env_);
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }
  Result<std::unique_ptr<PostgresJournal>> try_open(bool any_durability = false) {
    return PostgresJournal::open({.url = url_, .durability_of_database = any_durability}, env_);
  }
  std::int64_t count(const std::string& sql) { return testing::RawPostgres(url_).number(sql); }

  /// Appends one after the other. What was refused because the database is away was not written:
  /// it is tried again, with the same head. Gives how many were acknowledged; any other error ends
  /// it.
  Task<int> append_many(SessionKey key, int many) {
    int acknowledged = 0;
    while (acknowledged < many) {
      auto answer = co_await store_->append(
          append_of(key, static_cast<std::uint64_t>(acknowledged), std::to_string(acknowledged)));
      if (answer)
        ++acknowledged;
      else if (answer.error().code == ErrorCode::kUnavailable)
        co_await async::yield();
      else
        break;
    }
    co_return acknowledged;
  }
  void expect_numbers(const SessionKey& key, int many) {
    std::vector<std::string> numbers;
    for (int i = 0; i < many; ++i) numbers.push_back(std::to_string(i));
    EXPECT_EQ(bodies(key), numbers) << key.session.value;
  }
};

INSTANTIATE_TEST_SUITE_P(, PostgresStore, ::testing::Values("postgres"),
                         [](const auto& info) { return info.param; });

// ---- a commit whose answer is lost ----------------------------------------------------------

TEST_P(PostgresStore, ACommitWhoseAnswerIsLostIsLookedUp) {
  testing::CuttingProxy proxy(server().socket_directory());
  open_at(url_through(proxy));
  fill(kA, 1);
  proxy.cut(Cut::kAfter, "INSERT INTO journal");
  // In one group: one that is done, one that is not. Both have to be told right.
  std::optional<Result<Committed>> good, late, other;
  {
    auto held = hold_writes();
    loop_.start(store_->append(append_of(kA, 1, "good")), good);
    loop_.start(store_->append(append_of(kA, 1, "late")), late);
    loop_.start(store_->append(append_of(key_of("p2", "new"), 0, "other")), other);
    loop_.poll();
  }
  loop_.finish();
  EXPECT_EQ(proxy.cuts_made(), 1);
  ASSERT_TRUE(good.value()) << good->error().message;
  EXPECT_EQ((*good)->head(), 2u);
  EXPECT_EQ(code_of(*late), ErrorCode::kFenced);
  EXPECT_TRUE(other.value());
  EXPECT_THAT(bodies(kA), ElementsAre("entry 1", "good"));
  EXPECT_THAT(bodies(key_of("p2", "new")), ElementsAre("other"));
  EXPECT_TRUE(append(append_of(kA, 2, "and on")));
}

TEST_P(PostgresStore, AWriteThatNeverArrivedIsSentAgain) {
  testing::CuttingProxy proxy(server().socket_directory());
  open_at(url_through(proxy));
  fill(kA, 1);
  proxy.cut(Cut::kBefore, "INSERT INTO journal");
  EXPECT_TRUE(append(append_of(kA, 1, "again")));
  EXPECT_EQ(proxy.cuts_made(), 1);
  EXPECT_THAT(bodies(kA), ElementsAre("entry 1", "again"));
  EXPECT_EQ(store_->stats().appends, 2u);
}

TEST_P(PostgresStore, AConnectionThatBreaksAgainAndAgainIsUnavailableAndNothingIsWritten) {
  testing::CuttingProxy proxy(server().socket_directory());
  open_at(url_through(proxy));
  fill(kA, 1);
  proxy.cut(Cut::kBefore, "INSERT INTO journal", 1000);
  EXPECT_EQ(code_of(append(append_of(kA, 1, "never"))), ErrorCode::kUnavailable);
  proxy.cut(Cut::kNone, "", 0);
  EXPECT_THAT(bodies(kA), ElementsAre("entry 1"));
  EXPECT_TRUE(append(append_of(kA, 1, "later")));
}

TEST_P(PostgresStore, WhatAnOldConnectionStillBringsIsRefused) {
  testing::CuttingProxy proxy(server().socket_directory());
  open_at(url_through(proxy));
  fill(kA, 1);
  proxy.cut(Cut::kHoldBack, "INSERT INTO timer");
  // It moves no head: done a second time, only the connection's generation can refuse it.
  ASSERT_TRUE(append({.key = kA, .head = 1, .set_timers = {{"t", 7, "x"}}}));
  ASSERT_EQ(proxy.cuts_made(), 1);
  ASSERT_TRUE(append({.key = kA, .head = 1, .clear_timers = {"t"}}));
  EXPECT_THAT(proxy.release(), HasSubstr("22012"));
  EXPECT_FALSE(*loop_.run(store_->next_timer(all_shards())));
}

TEST_P(PostgresStore, LargeBodiesSurviveALostConnection) {
  testing::CuttingProxy proxy(server().socket_directory());
  open_at(url_through(proxy));
  std::string large(kBlobThreshold * 200, 'x');
  proxy.cut(Cut::kAfter, "INSERT INTO blob");
  EXPECT_TRUE(append(append_of(kA, 0, large)));
  EXPECT_EQ(proxy.cuts_made(), 1);
  EXPECT_THAT(bodies(kA), ElementsAre(large));
}

TEST_P(PostgresStore, ReadsGoOnOverANewConnection) {
  fill(kA, 1);
  EXPECT_THAT(bodies(kA), SizeIs(1));
  server().execute(database(),
                   "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                   "WHERE application_name = 'perdure' AND datname = current_database()");
  EXPECT_THAT(bodies(kA), SizeIs(1));
  EXPECT_TRUE(append(append_of(kA, 1)));
}

// ---- a database that crashes ----------------------------------------------------------------

TEST_P(PostgresStore, ACrashOfTheDatabaseLosesAndDoublesNothing) {
  constexpr int kSessions = 8, kEach = 40;
  std::vector<SessionKey> keys;
  std::vector<std::optional<int>> acknowledged(kSessions);
  for (int i = 0; i < kSessions; ++i) {
    keys.push_back(key_of("p" + std::to_string(i % 2), "s" + std::to_string(i)));
    loop_.start(append_many(keys.back(), kEach), acknowledged[keys.size() - 1]);
  }
  for (std::uint64_t crash_at : {40, 90, 160}) {
    while (store_->stats().appends < crash_at) loop_.poll();
    server().crash();
    server().start();
  }
  loop_.finish();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(acknowledged[i], kEach);
    expect_numbers(keys[i], kEach);
  }
  EXPECT_EQ(store_->stats().appends, std::uint64_t{kSessions * kEach});
}

TEST_P(PostgresStore, AKilledServerProcessLosesAndDoublesNothing) {
  constexpr int kMany = 60;
  std::optional<int> acknowledged;
  loop_.start(append_many(kA, kMany), acknowledged);
  for (std::uint64_t kill_at : {10, 30}) {
    while (store_->stats().appends < kill_at) loop_.poll();
    // The writer's. PostgreSQL restarts all its processes then.
    std::string pid =
        server().value("postgres",
                       "SELECT pid FROM pg_stat_activity WHERE application_name = 'perdure' "
                       "AND datname = '" +
                           database() + "' ORDER BY backend_start LIMIT 1");
    ASSERT_FALSE(pid.empty());
    ::kill(std::stoi(pid), SIGKILL);
  }
  loop_.finish();
  EXPECT_EQ(acknowledged, kMany);
  expect_numbers(kA, kMany);
  reopen();
  expect_numbers(kA, kMany);
}

TEST_P(PostgresStore, ADatabaseThatStaysAwayIsUnavailableUntilItIsBack) {
  fill(kA, 1);
  server().crash();
  auto refused = append(append_of(kA, 1, "while away"));
  EXPECT_EQ(code_of(refused), ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("cannot be reached"));
  EXPECT_EQ(code_of(loop_.run(store_->session(kA))), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of(loop_.run(store_->ping())), ErrorCode::kUnavailable);
  server().start();
  while (!loop_.run(store_->ping())) std::this_thread::yield();
  EXPECT_THAT(bodies(kA), ElementsAre("entry 1"));
  EXPECT_TRUE(append(append_of(kA, 1, "after")));
}

// ---- openings -------------------------------------------------------------------------------

TEST_P(PostgresStore, WhoOpensItLastHasIt) {
  fill(kA, 1);
  auto later = try_open();
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_GT((*later)->epoch(), store_->epoch());
  auto refused = append(append_of(kA, 1, "from the past"));
  EXPECT_EQ(code_of(refused), ErrorCode::kUnavailable);
  EXPECT_EQ(refused.error().reason, "superseded");
  EXPECT_EQ(loop_.run(store_->ping()).error().reason, "superseded");
  EXPECT_THAT(bodies(kA), ElementsAre("entry 1"));  // reading does no harm
  EXPECT_TRUE(loop_.run((*later)->append(append_of(kA, 1, "from the new one"))));
}

// ---- nodes ----------------------------------------------------------------------------------

class Nodes : public PostgresStore {
 protected:
  std::unique_ptr<PostgresJournal> node(std::string name) {
    auto opened = PostgresJournal::open({.url = url_, .node = std::move(name)}, env_);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
  }
  Leases renew(PostgresJournal& node, LeaseRequest request = {}) {
    auto leases = loop_.run(node.renew(std::move(request)));
    EXPECT_TRUE(leases) << leases.error().message;
    return leases.value_or(Leases{});
  }
  /// Two with half of the shards each.
  void open_two() {
    store_.reset();
    a_ = node("a");
    b_ = node("b");
    held_a_ = renew(*a_).held;
    held_b_ = renew(*b_).held;
  }
  SessionKey key_of_shard(const Shards& shards) {
    while (true) {
      SessionKey key{{"p1"}, new_session_id(env_)};
      if (shards.test(shard_of(key))) return key;
    }
  }
  Result<Committed> append_to(PostgresJournal& node, Append append) {
    return loop_.run(node.append(std::move(append)));
  }
  /// As if it had been silent for longer than a lease lasts.
  void let_time_pass_for(const PostgresJournal& node) {
    testing::RawPostgres(url_).execute(
        "UPDATE opening SET until = clock_timestamp() - interval '1 second' WHERE epoch = " +
        std::to_string(node.epoch()));
  }

  std::unique_ptr<PostgresJournal> a_, b_;
  Shards held_a_, held_b_;
};

INSTANTIATE_TEST_SUITE_P(, Nodes, ::testing::Values("postgres"),
                         [](const auto& info) { return info.param; });

TEST_P(Nodes, ShareTheShardsAndWriteToTheirOwnOnly) {
  open_two();
  EXPECT_EQ(held_a_.count(), 128u);
  EXPECT_EQ(held_b_.count(), 128u);
  EXPECT_TRUE((held_a_ & held_b_).none());
  const SessionKey key = key_of_shard(held_a_);
  EXPECT_EQ(code_of(append_to(*b_, append_of(key, 0, "not mine"))), ErrorCode::kFenced);
  EXPECT_TRUE(append_to(*a_, append_of(key, 0, "mine")));
  EXPECT_TRUE(loop_.run(b_->load(key, ~0ULL))) << "everybody reads";
}

TEST_P(Nodes, WhatIsGivenUpGoesToTheOtherAndItsEpochsGrow) {
  open_two();
  const SessionKey key = key_of_shard(held_b_);
  auto before = append_to(*b_, append_of(key, 0, "here"));
  ASSERT_TRUE(before);
  ASSERT_TRUE(renew(*b_, {.leave = true}).held.none());
  EXPECT_TRUE(renew(*a_).held.all());
  auto after = append_to(*a_, append_of(key, 1, "there"));
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_GT(after->epoch(), before->epoch());
  EXPECT_EQ(code_of(append_to(*b_, append_of(key, 2, "late"))), ErrorCode::kFenced);
}

TEST_P(Nodes, OneThatWasSilentForTooLongIsEndedAndJoinsAnew) {
  open_two();
  const SessionKey key = key_of_shard(held_b_);
  ASSERT_TRUE(append_to(*b_, append_of(key, 0, "before")));
  let_time_pass_for(*b_);
  EXPECT_TRUE(renew(*a_).held.all());
  // It does not know yet: the database refuses what it writes.
  EXPECT_EQ(code_of(append_to(*b_, append_of(key, 1, "from the past"))), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of(loop_.run(b_->renew({}))), ErrorCode::kFenced);
  ASSERT_TRUE(append_to(*a_, append_of(key, 1, "taken over")));
  const std::uint64_t old = b_->epoch();
  ASSERT_TRUE(loop_.run(b_->rejoin()));
  EXPECT_GT(b_->epoch(), old);
  EXPECT_TRUE(renew(*b_).held.none()) << "everything is held by one that lives";
  Shards half;
  for (std::size_t i = 0; i < kShards / 2; ++i) half.set(i);
  renew(*a_, {.give_up = half});
  EXPECT_EQ(renew(*b_).held, half);
}

TEST_P(Nodes, OneThatWasLateButMissedByNobodyGoesOn) {
  open_two();
  let_time_pass_for(*b_);
  EXPECT_EQ(renew(*b_).held, held_b_);
}

TEST_P(Nodes, AStartUnderTheSameNameEndsItsForerunner) {
  open_two();
  auto again = node("b");
  EXPECT_EQ(renew(*again).held, held_b_);
  EXPECT_EQ(code_of(loop_.run(b_->renew({}))), ErrorCode::kFenced);
}

TEST_P(Nodes, WhatOneChangesTheOthersCanTell) {
  open_two();
  auto before = loop_.run(b_->changes());
  ASSERT_TRUE(before);
  ASSERT_TRUE(
      loop_.run(a_->put_row({.project = {"p1"}, .kind = "stop", .id = "x", .body = "{}"}, 0)));
  EXPECT_GT(*loop_.run(b_->changes()), *before);
}

TEST_P(PostgresStore, OpeningsAtTheSameTimeMigrateOnce) {
  std::string url = server().take_database();
  constexpr std::size_t kNodes = 4;
  std::array<FakeEnv, kNodes> envs;  // used by the stores until they are gone
  std::vector<Result<std::unique_ptr<PostgresJournal>>> opened(kNodes);
  {
    std::vector<std::jthread> nodes;
    for (std::size_t i = 0; i < kNodes; ++i)
      nodes.emplace_back([&, i] { opened[i] = PostgresJournal::open({.url = url}, envs[i]); });
  }
  std::set<std::uint64_t> epochs;
  for (auto& store : opened) {
    ASSERT_TRUE(store) << store.error().message;
    epochs.insert((*store)->epoch());
  }
  EXPECT_THAT(epochs, SizeIs(kNodes));
  EXPECT_EQ(testing::RawPostgres(url).number("SELECT count(*) FROM schema_version"),
            postgres::newest_schema());
}

TEST_P(PostgresStore, ANewerSchemaIsLeftAlone) {
  store_.reset();
  testing::RawPostgres(url_).execute("INSERT INTO schema_version VALUES (99, 0)");
  auto refused = try_open();
  EXPECT_EQ(code_of(refused), ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("version 99"));
}

TEST_P(PostgresStore, AnotherProgramsTablesAreLeftAlone) {
  std::string url = server().take_database();
  testing::RawPostgres(url).execute("CREATE TABLE session (mine integer)");
  auto refused = PostgresJournal::open({.url = url}, env_);
  EXPECT_EQ(code_of(refused), ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("another program"));
}

TEST_P(PostgresStore, WeakDurabilityIsRefusedUnlessItIsNamed) {
  fill(kA, 1);
  std::string alter = "ALTER DATABASE " + database();
  server().execute("postgres", alter + " SET synchronous_commit = off");
  auto refused = try_open();
  EXPECT_EQ(code_of(refused), ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("synchronous_commit is off"));

  // A store that runs notices with its next connection, and when it is put right.
  server().execute(database(),
                   "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                   "WHERE application_name = 'perdure' AND datname = current_database()");
  auto weak = append(append_of(kA, 1, "weak"));
  EXPECT_EQ(code_of(weak), ErrorCode::kUnavailable);
  EXPECT_EQ(weak.error().reason, "weak_database");
  EXPECT_THAT(bodies(kA), ElementsAre("entry 1"));
  server().execute("postgres", alter + " RESET synchronous_commit");
  while (!loop_.run(store_->ping())) std::this_thread::yield();
  EXPECT_TRUE(append(append_of(kA, 1, "strong")));

  server().execute("postgres", alter + " SET synchronous_commit = off");
  auto accepted = try_open(true);
  ASSERT_TRUE(accepted) << accepted.error().message;
  EXPECT_TRUE(loop_.run((*accepted)->append(append_of(kA, 2))));
}

TEST_P(PostgresStore, AReadOnlyDatabaseIsRefused) {
  store_.reset();
  server().execute("postgres",
                   "ALTER DATABASE " + database() + " SET default_transaction_read_only = on");
  auto refused = try_open();
  EXPECT_EQ(code_of(refused), ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("takes no writes"));
}

TEST_P(PostgresStore, MissingRightsAreNamed) {
  std::string url = server().take_database();
  std::size_t begin = url.find("@/") + 2;
  std::string name = url.substr(begin, url.find('?') - begin);
  server().execute(name, "CREATE ROLE poor_" + name + " LOGIN");
  url.replace(url.find("tester"), 6, "poor_" + name);
  auto refused = PostgresJournal::open({.url = url}, env_);
  EXPECT_EQ(code_of(refused), ErrorCode::kPermissionDenied);
  EXPECT_THAT(refused.error().message, HasSubstr("may not create tables"));
}

TEST_P(PostgresStore, NoMessageHasThePassword) {
  server().execute("postgres", "CREATE ROLE stranger LOGIN PASSWORD 'right'");
  std::string url = url_;
  url.replace(url.find("tester@"), 7, "stranger:wr0ng-secret@");
  auto refused = PostgresJournal::open({.url = url}, env_);
  EXPECT_EQ(code_of(refused), ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("password authentication failed"));
  EXPECT_THAT(refused.error().message, Not(HasSubstr("wr0ng")));

  // libpq would quote these.
  for (const char* wrong : {"postgresql://me:wr0ng/secret@db/x", "postgresql://me:wr0ng@[::1/x",
                            "postgresql://me:1/wr0ng@db/x", "postgresql://me:wr0ng@db:5x/x"}) {
    auto misread = PostgresJournal::open({.url = wrong}, env_);
    EXPECT_EQ(code_of(misread), ErrorCode::kInvalidArgument) << wrong;
    EXPECT_THAT(misread.error().message, Not(HasSubstr("wr0ng")));
  }
  auto nowhere = PostgresJournal::open({.url = "postgresql://me:wr0ng@/x?host=/nowhere"}, env_);
  EXPECT_EQ(code_of(nowhere), ErrorCode::kUnavailable);
  EXPECT_THAT(nowhere.error().message, Not(HasSubstr("wr0ng")));
}

// ---- groups, bytes, blobs -------------------------------------------------------------------

TEST_P(PostgresStore, WhatWaitsTogetherIsOneCommit) {
  constexpr std::size_t kMany = 50;
  std::vector<std::optional<Result<Committed>>> results(kMany);
  std::uint64_t commits = store_->stats().commits;
  {
    auto held = hold_writes();
    for (std::size_t i = 0; i < kMany; ++i)
      loop_.start(store_->append(append_of(key_of("p", std::to_string(i)), 0)), results[i]);
    loop_.poll();
  }
  loop_.finish();
  for (auto& result : results) EXPECT_TRUE(result.value());
  EXPECT_LE(store_->stats().commits - commits, 2u);
}

TEST_P(PostgresStore, WhatCallersAndModelsChooseMayBeAnyBytes) {
  std::string any("\0\xff'\\;\x80", 6);
  Append odd = append_of(kA, 0, any);
  odd.open_effects = {{.call_id = any, .repeat_class = "opaque", .idempotency_key = any}};
  odd.set_timers = {{"t", 1, any}};
  odd.outbox = {{.target = "x", .body = any}};
  odd.idempotency = IdempotencyRecord{.scope = {kA.project, "me", "POST /x", any},
                                      .request_hash = any,
                                      .status = 200,
                                      .body = any,
                                      .session = kA.session.value,
                                      .expires = env_.now() + 1000};
  ASSERT_TRUE(append(odd));
  EXPECT_EQ(loop_.run(store_->effects(kA))->at(0).call_id, any);
  EXPECT_EQ(loop_.run(store_->due_timers(all_shards(), 1, 1))->at(0).timer.body, any);
  EXPECT_EQ((*loop_.run(store_->find_idempotency(odd.idempotency->scope, env_.now())))->body, any);
  Append closed = append_of(kA, 1);
  closed.close_effects = {any};
  ASSERT_TRUE(append(closed));
  EXPECT_THAT(*loop_.run(store_->effects(kA)), SizeIs(0));
}

TEST_P(PostgresStore, ANameThatIsNoTextHurtsNobodyElse) {
  std::optional<Result<Committed>> bad, good;
  SessionKey odd = key_of("p1", std::string("a\0b", 3));
  {
    auto held = hold_writes();
    loop_.start(store_->append(append_of(odd, 0)), bad);
    loop_.start(store_->append(append_of(kA, 0)), good);
    loop_.poll();
  }
  loop_.finish();
  EXPECT_EQ(code_of(*bad), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(good.value());
  EXPECT_EQ(code_of(loop_.run(store_->session(odd))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(loop_.run(store_->get_row({"p1"}, "agent", "\xff"))), ErrorCode::kNotFound);
}

TEST_P(PostgresStore, BlobsAreStoredOnceAndGoWithTheirLastName) {
  std::string large(kBlobThreshold + 1, 'x');
  ASSERT_TRUE(append(append_of(kA, 0, large)));
  ASSERT_TRUE(append(append_of(key_of("p1", "sess_b"), 0, large)));
  ASSERT_TRUE(append(append_of(key_of("p2", "sess_c"), 0, large)));
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 2);
  EXPECT_EQ(count("SELECT count(DISTINCT hash) FROM blob"), 2);
  ASSERT_TRUE(loop_.run(store_->delete_session(kA, 1)));
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 2);
  ASSERT_TRUE(loop_.run(store_->delete_session(key_of("p1", "sess_b"), 1)));
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 1);

  // One whose append was refused is collected.
  EXPECT_EQ(code_of(append(append_of(key_of("p1", "nobody"), 9, large))), ErrorCode::kNotFound);
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 2);
  EXPECT_EQ(*loop_.run(store_->collect_garbage(env_.now())), 1u);
  EXPECT_EQ(count("SELECT count(*) FROM blob"), 1);
}

TEST_P(PostgresStore, OutboxIdsAscendOverOpenings) {
  for (std::uint64_t head : {0, 1, 2}) {
    Append with = append_of(kA, head);
    with.outbox = {{.target = "a", .body = "1"}, {.target = "b", .body = "2"}};
    ASSERT_TRUE(append(with));
    if (head == 1) reopen();
  }
  auto messages = loop_.run(store_->outbox(10));
  ASSERT_THAT(*messages, SizeIs(6));
  std::set<std::uint64_t> ids;
  for (std::size_t i = 0; i < messages->size(); ++i) {
    ids.insert(messages->at(i).id);
    EXPECT_EQ(messages->at(i).target, i % 2 == 0 ? "a" : "b");
  }
  EXPECT_THAT(ids, SizeIs(6));
}

}  // namespace
}  // namespace perdure::journal
