#include "journal/postgres/opening.h"

#include <fmt/format.h>

#include "base/log.h"
#include "journal/leases.h"
#include "journal/postgres/limits.h"
#include "journal/postgres/migrations.h"

namespace perdure::journal::postgres {
namespace {

/// Names the settings under which an acknowledged commit could be lost.
constexpr std::string_view kWeakness =
    "concat_ws(', ', "
    "CASE WHEN current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') "
    "THEN 'synchronous_commit is ' || current_setting('synchronous_commit') END, "
    "CASE WHEN current_setting('fsync') <> 'on' THEN 'fsync is off' END, "
    "CASE WHEN current_setting('full_page_writes') <> 'on' THEN 'full_page_writes is off' END)";

Result<void> check(Connection& connection, Durability durability) {
  if (connection.server_version() < kOldestServer)
    return fail(ErrorCode::kConflict,
                fmt::format("{} is PostgreSQL {}; Perdure needs {} or newer.", connection.name(),
                            connection.server_version() / 10000, kOldestServer / 10000));
  const Statement question(
      fmt::format("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', "
                  "current_setting('server_encoding'), {}",
                  kWeakness));
  auto answers = connection.run({&question, 1}, kStatementMs);
  if (!answers) return std::unexpected(answers.error().to_error());
  const Rows& row = answers->front();
  if (row.flag(0, 0))
    return fail(ErrorCode::kUnavailable,
                fmt::format("{} takes no writes: it is a standby or set to read-only. Name the "
                            "primary, or add target_session_attrs=read-write to a URL of several "
                            "hosts.",
                            connection.name()));
  if (row.text(0, 1) != "UTF8")
    return fail(
        ErrorCode::kConflict,
        fmt::format("{} has the encoding {}; Perdure needs UTF8 (CREATE DATABASE … ENCODING "
                    "'UTF8' TEMPLATE template0).",
                    connection.name(), row.text(0, 1)));
  std::string weakness = row.text(0, 2);
  if (weakness.empty()) return {};
  if (durability == Durability::kFull)
    return fail(ErrorCode::kConflict,
                fmt::format("{}: {}", connection.name(), weak_sentence(weakness)));
  log::warn("acknowledged work may be lost when the database's machine fails",
            {{"settings", weakness}});
  return {};
}

enum class Opening { kServer, kCopy };

/// Under which condition, in SQL, the store may be opened. It is asked under the lock of `opening`,
/// and a mark is made under one that excludes it (still_held).
std::string opening_condition(Opening opening) {
  if (opening == Opening::kCopy)
    return "NOT EXISTS (SELECT FROM opening WHERE node <> '' AND NOT superseded "
           "AND until > now())";
  return fmt::format("NOT EXISTS (SELECT FROM meta WHERE name IN ('{}', '{}'))", kMigrating,
                     kMovedTo);
}

/// Why `opening_condition` did not hold.
Error why_refused(Connection& connection, Opening opening) {
  if (opening == Opening::kCopy)
    return {ErrorCode::kConflict,
            fmt::format("A server has {} open. Stop every server on it, then try again.",
                        connection.name()),
            {},
            {}};
  auto marks = read_marks(connection);
  if (!marks) return marks.error();
  if (auto refused = refuse_marked(*marks, connection.name()); !refused) return refused.error();
  return {ErrorCode::kUnavailable,
          fmt::format("{} was being migrated; try again.", connection.name()),
          {},
          {}};
}

/// Where the condition does not hold, nothing changes.
Result<StoreIdentity> raise_epoch(Connection& connection, Opening opening,
                                  const std::optional<NodeIdentity>& node, Env& env) {
  const std::string condition = opening_condition(opening);
  std::string secret(32, '\0');
  env.random_bytes({reinterpret_cast<std::uint8_t*>(secret.data()), secret.size()});
  std::vector<Statement> statements;
  statements.emplace_back("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  // Waits for the commits of an earlier opening that are under way; what comes after is refused.
  statements.emplace_back("LOCK TABLE opening IN SHARE ROW EXCLUSIVE MODE");
  Statement& end_others = statements.emplace_back();
  end_others.sql = "UPDATE opening SET superseded = true WHERE NOT superseded AND " + condition;
  if (node)  // what runs alone gives way to a node, and a node to its next start
    end_others.sql += fmt::format(" AND (node = '' OR node = {})", end_others.text(node->id));
  Statement& make_secret = statements.emplace_back();
  make_secret.sql = fmt::format("INSERT INTO meta VALUES ('secret', {}) ON CONFLICT DO NOTHING",
                                make_secret.bytes(secret));
  const std::size_t raised = statements.size();
  Statement& raise = statements.emplace_back();
  // Above every epoch that entries have, whoever wrote them.
  raise.sql = fmt::format(
      "INSERT INTO opening (epoch, opened, node, until) SELECT 1 + greatest("
      "(SELECT coalesce(max(epoch), 0) FROM opening), (SELECT max(epoch) FROM shard)), "
      "{}, {}, {} WHERE {} RETURNING epoch",
      raise.number(env.now()), raise.text(node ? node->id : std::string()),
      node ? lease_end() : "'infinity'", condition);
  statements.emplace_back(
      fmt::format("DELETE FROM opening WHERE superseded AND "
                  "epoch <= (SELECT max(epoch) FROM opening) - {}",
                  kOpeningsKept));
  if (!node)
    statements.emplace_back(
        "UPDATE shard SET holder = o.epoch, epoch = o.epoch FROM "
        "(SELECT max(epoch) AS epoch FROM opening) o WHERE " +
        condition);
  const std::size_t asked = statements.size();
  statements.emplace_back("SELECT value FROM meta WHERE name = 'secret'");
  statements.emplace_back("COMMIT");
  auto answers = connection.run(statements, kAnswerMs);
  if (!answers) {
    log::error("the store could not be opened", {{"error", answers.error().message}});
    return std::unexpected(answers.error().to_error());
  }
  if (answers->at(raised).empty()) return std::unexpected(why_refused(connection, opening));
  return StoreIdentity{.epoch = answers->at(raised).natural(0, 0),
                       .secret = answers->at(asked).text(0, 0),
                       .is_node = node.has_value()};
}

Result<void> check_existing(Connection& connection) {
  const Statement question(
      "SELECT to_regclass('schema_version') IS NOT NULL AND to_regclass('meta') IS NOT NULL");
  auto answers = connection.run({&question, 1}, kStatementMs);
  if (!answers) return std::unexpected(answers.error().to_error());
  if (answers->front().flag(0, 0)) return {};
  return fail(ErrorCode::kNotFound, fmt::format("{} holds no store.", connection.name()));
}

}  // namespace

Result<OpenedStore> open_store(const Target& target, Interrupt& interrupt, Durability durability,
                               const std::optional<NodeIdentity>& node, Env& env) {
  TRY(connection, open_database(target, interrupt, durability, false, env.now()));
  TRY(identity, raise_epoch(*connection, Opening::kServer, node, env));
  return OpenedStore{std::move(connection), std::move(identity)};
}

Result<std::unique_ptr<Connection>> open_database(const Target& target, Interrupt& interrupt,
                                                  Durability durability, bool must_exist,
                                                  UnixMillis now) {
  auto connection = Connection::open(target, interrupt);
  if (!connection)
    return fail(ErrorCode::kUnavailable,
                fmt::format("the store cannot be opened: {}", connection.error().message));
  TRY_VOID(check(**connection, durability));
  if (must_exist) TRY_VOID(check_existing(**connection));
  TRY_VOID(migrate(**connection, now));
  return std::move(*connection);
}

Result<std::uint64_t> open_exclusively(Connection& connection, Env& env) {
  TRY(identity, raise_epoch(connection, Opening::kCopy, std::nullopt, env));
  return identity.epoch;
}

Statement still_held(std::uint64_t epoch, Durability durability) {
  // An update, so that its lock on the table keeps an opening out until the end.
  Statement held;
  held.sql = fmt::format(
      "WITH held AS (UPDATE opening SET groups = groups + 1 WHERE epoch = {} AND NOT superseded "
      "RETURNING epoch) SELECT 1 / count(*) FROM held WHERE {}",
      held.number(epoch), strength_condition(durability));
  return held;
}

Result<Marks> read_marks(Connection& connection) {
  const Statement question(
      fmt::format("SELECT name, value FROM meta WHERE name IN ('{}', '{}')", kMigrating, kMovedTo));
  auto answers = connection.run({&question, 1}, kStatementMs);
  if (!answers) return std::unexpected(answers.error().to_error());
  Marks marks;
  const Rows& rows = answers->front();
  for (int row = 0; row < rows.count(); ++row)
    (rows.text(row, 0) == kMigrating ? marks.migrating : marks.moved_to) =
        mark_of(rows.text(row, 1));
  return marks;
}

Outcome<std::optional<Claim>> claim(Connection& connection, std::uint64_t epoch) {
  Statement take;
  take.sql = fmt::format(
      "UPDATE opening SET generation = generation + 1 WHERE epoch = {} "
      "RETURNING generation, groups, outcomes, superseded, {}",
      take.number(epoch), kWeakness);
  // Its own commit waits for the standbys, and so vouches for the commits before it.
  const std::vector<Statement> statements = {
      Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
      Statement(fmt::format("SELECT set_config('statement_timeout', '{}', true)", kStatementMs)),
      std::move(take), Statement("COMMIT")};
  auto answers = connection.run(statements, kAnswerMs);
  if (!answers) return std::unexpected(std::move(answers).error());
  if (connection.warned())
    return std::unexpected(Failure{.message = "a standby did not confirm a commit", .lost = true});
  const Rows& row = answers->at(2);
  if (row.empty()) return std::nullopt;
  return Claim{.generation = row.natural(0, 0),
               .groups = row.natural(0, 1),
               .outcomes = row.text(0, 2),
               .superseded = row.flag(0, 3),
               .weakness = row.text(0, 4)};
}

std::string lease_end() {
  return fmt::format("clock_timestamp() + interval '{} milliseconds'", kLeaseMs);
}

std::string_view strength_condition(Durability durability) {
  if (durability == Durability::kAsDatabase) return "true";
  return "current_setting('synchronous_commit') IN ('on', 'remote_apply') "
         "AND current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'";
}

std::string weak_sentence(std::string_view weakness) {
  return fmt::format(
      "{}, so what is acknowledged could be lost. Set the database to keep what it commits, or say "
      "that you accept it: durability = \"database\" under [store].",
      weakness);
}

}  // namespace perdure::journal::postgres
