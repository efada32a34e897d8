#include "journal/sqlite/writes.h"

#include <limits>

#include "base/bytes.h"
#include "base/planted_bug.h"
#include "journal/append_check.h"
#include "journal/limits.h"
#include "journal/sqlite/search_tables.h"
#include "journal/sqlite/spend_tables.h"

namespace perdure::journal::sqlite {

std::string StoreIdentity::blob_key(const ProjectId& project) const {
  return std::string(as_view(hmac_sha256(secret, "blob key of project " + project.value)));
}

// ---- answers kept for repeated requests -------------------------------------------------------

namespace {

/// A guard: an answer kept under this key stays.
Result<void> check_key_is_free(Connection& connection,
                               const std::optional<IdempotencyRecord>& record, UnixMillis now) {
  if (!record) return {};
  const IdempotencyScope& scope = record->scope;
  Rows kept = connection.query(
      "SELECT 1 FROM idempotency WHERE project = ? AND principal = ? AND route = ? AND key = ? "
      "AND expires > ?",
      scope.project.value, scope.principal, scope.route, scope.key, now);
  if (kept.next()) return key_in_use(scope);
  return {};
}

void keep_answer(Connection& connection, const std::optional<IdempotencyRecord>& record) {
  if (!record) return;
  connection.run(
      "INSERT OR REPLACE INTO idempotency "
      "(project, principal, route, key, request_hash, status, body, session, expires) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      record->scope.project.value, record->scope.principal, record->scope.route, record->scope.key,
      record->request_hash, record->status, Bytes{record->body}, record->session, record->expires);
}

}  // namespace

// ---- append ---------------------------------------------------------------------------------

AppendWork::AppendWork(Append append, const StoreIdentity& identity)
    : append_(std::move(append)), identity_(identity) {}

bool AppendWork::has_large_bodies() const {
  for (const EntryDraft& entry : append_.entries)
    if (entry.body.size() > kBlobThreshold) return true;
  return false;
}

void AppendWork::prepare(Connection& connection) {
  std::string key = identity_.blob_key(append_.key.project);
  hashes_.assign(append_.entries.size(), {});
  for (std::size_t i = 0; i < append_.entries.size(); ++i) {
    const std::string& body = append_.entries[i].body;
    if (body.size() <= kBlobThreshold) continue;
    hashes_[i] = as_view(hmac_sha256(key, body));
    connection.run(
        "INSERT INTO blob (project, hash, size, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        append_.key.project.value, Bytes{hashes_[i]}, body.size(), Bytes{body});
  }
}

Result<Written> AppendWork::operator()(Connection& connection, UnixMillis now,
                                       StoreStats& counted) {
  UnixMillis time = append_.time != 0 ? append_.time : now;
  TRY_VOID(check_key_is_free(connection, append_.idempotency, now));
  auto budgets = charged_budgets(connection, append_, time);
  // Who is fenced out hears that, whatever the budgets say.
  if (!budgets && head_is_ours(connection)) return std::unexpected(budgets.error());
  TRY_VOID(move_head(connection, time, counted));
  add_entries(connection, time, counted);
  change_effects(connection);
  change_timers(connection);
  add_outbox(connection);
  write_spend(connection, append_, *budgets, time);
  keep_answer(connection, append_.idempotency);
  keep_snapshot(connection);
  ++counted.appends;
  return Written{append_.head + 1, append_.head + append_.entries.size(), identity_.epoch, time};
}

bool AppendWork::head_is_ours(Connection& connection) {
  Rows row =
      connection.query("SELECT head, epoch, deleted FROM session WHERE project = ? AND id = ?",
                       append_.key.project.value, append_.key.session.value);
  if (!row.next()) return append_.head == 0;
  return append_.head != 0 && row.natural(0) == append_.head && row.natural(1) <= identity_.epoch &&
         row.integer(2) == 0;
}

/// The last guard, head and epoch. Once it has passed nothing else can refuse the append.
Result<void> AppendWork::move_head(Connection& connection, UnixMillis time, StoreStats& counted) {
  const auto& [project, session] = append_.key;
  std::uint64_t head = append_.head + append_.entries.size();
  std::int64_t moved = 0;
  if (append_.head == 0) {
    moved = connection.run(
        "INSERT INTO session (project, id, workstream, head, epoch, created, open) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        project.value, session.value, append_.workstream, head, identity_.epoch, time,
        int{append_.open});
  } else {
    std::uint64_t newest =
        planted("skip-epoch-check") ? std::numeric_limits<std::uint64_t>::max() : identity_.epoch;
    moved = connection.run(
        "UPDATE session SET head = ?, epoch = ?, open = ? "
        "WHERE project = ? AND id = ? AND head = ? AND epoch <= ? AND deleted = 0",
        head, identity_.epoch, int{append_.open}, project.value, session.value, append_.head,
        newest);
  }
  if (moved == 1) return {};

  Rows row = connection.query("SELECT deleted FROM session WHERE project = ? AND id = ?",
                              project.value, session.value);
  if (!row.next() || row.integer(0)) return no_such_session(append_.key);
  ++counted.fenced;
  return append_.head == 0 ? already_exists(append_.key) : fenced(append_.key);
}

void AppendWork::add_entries(Connection& connection, UnixMillis time, StoreStats& counted) {
  const auto& [project, session] = append_.key;
  std::uint64_t seq = append_.head;
  for (std::size_t i = 0; i < append_.entries.size(); ++i) {
    const EntryDraft& entry = append_.entries[i];
    ++seq;
    if (entry.body.size() > kBlobThreshold)
      connection.run(
          "INSERT INTO journal (project, session, seq, kind, epoch, time, blob) "
          "VALUES (?, ?, ?, ?, ?, ?, ?)",
          project.value, session.value, seq, int{entry.kind}, identity_.epoch, time,
          Bytes{hashes_.at(i)});
    else
      connection.run(
          "INSERT INTO journal (project, session, seq, kind, epoch, time, body) "
          "VALUES (?, ?, ?, ?, ?, ?, ?)",
          project.value, session.value, seq, int{entry.kind}, identity_.epoch, time,
          Bytes{entry.body});
    ++counted.entries;
    counted.bytes += entry.body.size();
  }
}

void AppendWork::change_effects(Connection& connection) {
  const auto& [project, session] = append_.key;
  for (const std::string& call_id : append_.close_effects)
    connection.run("DELETE FROM effect WHERE project = ? AND session = ? AND call_id = ?",
                   project.value, session.value, call_id);
  for (const EffectRow& effect : append_.open_effects)
    connection.run(
        "INSERT OR REPLACE INTO effect "
        "(project, session, call_id, intent_seq, repeat_class, idempotency_key, state) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        project.value, session.value, effect.call_id,
        effect.intent_seq ? effect.intent_seq : append_.head + 1, effect.repeat_class,
        effect.idempotency_key, static_cast<int>(effect.state));
}

void AppendWork::change_timers(Connection& connection) {
  const auto& [project, session] = append_.key;
  for (const std::string& id : append_.clear_timers)
    connection.run("DELETE FROM timer WHERE project = ? AND session = ? AND id = ?", project.value,
                   session.value, id);
  if (planted("lost-timer")) return;
  for (const TimerRow& timer : append_.set_timers)
    connection.run(
        "INSERT OR REPLACE INTO timer (project, session, id, due, body) VALUES (?, ?, ?, ?, ?)",
        project.value, session.value, timer.id, timer.due, Bytes{timer.body});
}

void AppendWork::add_outbox(Connection& connection) {
  const auto& [project, session] = append_.key;
  for (const OutboxRow& row : append_.outbox)
    connection.run("INSERT INTO outbox (project, session, target, body) VALUES (?, ?, ?, ?)",
                   project.value, session.value, row.target, Bytes{row.body});
}

void AppendWork::keep_snapshot(Connection& connection) {
  if (!append_.snapshot) return;
  const auto& [project, session] = append_.key;
  const Snapshot& snapshot = *append_.snapshot;
  connection.run(
      "INSERT OR REPLACE INTO snapshot (project, session, seq, format, body) "
      "VALUES (?, ?, ?, ?, ?)",
      project.value, session.value, snapshot.seq, std::int64_t{snapshot.format},
      Bytes{snapshot.body});
  connection.run(
      "DELETE FROM snapshot WHERE project = ?1 AND session = ?2 AND seq < "
      "(SELECT seq FROM snapshot WHERE project = ?1 AND session = ?2 "
      "ORDER BY seq DESC LIMIT 1 OFFSET ?3)",
      project.value, session.value, kSnapshotsKept - 1);
}

// ---- the others -----------------------------------------------------------------------------

Result<Written> erase_session(Connection& connection, const StoreIdentity& identity,
                              const SessionKey& key, std::uint64_t head, UnixMillis now,
                              StoreStats& counted) {
  const auto& [project, session] = key;
  {
    Rows row =
        connection.query("SELECT head, epoch, deleted FROM session WHERE project = ? AND id = ?",
                         project.value, session.value);
    if (!row.next()) return no_such_session(key);
    if (row.integer(2)) return Written{row.natural(0), row.natural(0), identity.epoch, now};
    if (row.natural(0) != head || row.natural(1) > identity.epoch) {
      ++counted.fenced;
      return fenced(key);
    }
  }

  std::vector<std::string> hashes;
  {
    Rows rows = connection.query(
        "SELECT DISTINCT blob FROM journal "
        "WHERE project = ? AND session = ? AND blob IS NOT NULL",
        project.value, session.value);
    while (rows.next()) hashes.push_back(rows.text(0));
  }
  forget_session_spend(connection, key, now);
  forget_search(connection, key);
  for (std::string_view table : {"journal", "snapshot", "effect", "timer", "idempotency"})
    connection.run("DELETE FROM " + std::string(table) + " WHERE project = ? AND session = ?",
                   project.value, session.value);
  for (const std::string& hash : hashes)
    connection.run(
        "DELETE FROM blob WHERE project = ?1 AND hash = ?2 AND NOT EXISTS "
        "(SELECT 1 FROM journal WHERE project = ?1 AND blob = ?2)",
        project.value, Bytes{hash});
  connection.run(
      "UPDATE session SET deleted = 1, open = 0, recoveries = 0, epoch = ? "
      "WHERE project = ? AND id = ?",
      identity.epoch, project.value, session.value);
  return Written{head, head, identity.epoch, now};
}

std::vector<int> begin_recovery(Connection& connection, const std::vector<SessionKey>& keys) {
  std::vector<int> counts;
  for (const SessionKey& key : keys) {
    Rows row = connection.query(
        "UPDATE session SET recoveries = recoveries + 1 "
        "WHERE project = ? AND id = ? AND deleted = 0 RETURNING recoveries",
        key.project.value, key.session.value);
    counts.push_back(row.next() ? static_cast<int>(row.integer(0)) : 0);
    row.next();  // to its end: only then is the change made
  }
  return counts;
}

void end_recovery(Connection& connection, const std::vector<SessionKey>& keys) {
  for (const SessionKey& key : keys)
    connection.run(
        "UPDATE session SET recoveries = 0 WHERE project = ? AND id = ? AND recoveries > 0",
        key.project.value, key.session.value);
}

std::size_t collect_garbage(Connection& connection, UnixMillis now, std::int64_t& cursor) {
  std::int64_t dropped = connection.run(
      "DELETE FROM idempotency WHERE (project, principal, route, key) IN "
      "(SELECT project, principal, route, key FROM idempotency WHERE expires <= ? LIMIT ?)",
      now, kMaxCollected);

  std::vector<std::int64_t> unreferenced;
  std::size_t seen = 0;
  {
    Rows rows = connection.query(
        "SELECT rowid, EXISTS (SELECT 1 FROM journal j "
        "WHERE j.project = b.project AND j.blob = b.hash) "
        "FROM blob b WHERE rowid > ? ORDER BY rowid LIMIT ?",
        cursor, kMaxCollected);
    while (rows.next()) {
      ++seen;
      cursor = rows.integer(0);
      if (!rows.integer(1)) unreferenced.push_back(cursor);
    }
  }
  if (seen < kMaxCollected) cursor = 0;
  for (std::int64_t id : unreferenced)
    dropped += connection.run("DELETE FROM blob WHERE rowid = ?", id);
  return static_cast<std::size_t>(dropped);
}

namespace {

/// A row's version; 0 where there is none.
std::uint64_t version_of(Connection& connection, const ProjectId& project, const std::string& kind,
                         const std::string& id) {
  Rows found =
      connection.query("SELECT version FROM resource WHERE project = ? AND kind = ? AND id = ?",
                       project.value, kind, id);
  return found.next() ? found.natural(0) : 0;
}

void put_checked(Connection& connection, const Row& row, std::uint64_t current, UnixMillis now) {
  if (current == 0)
    connection.run(
        "INSERT INTO resource (project, kind, id, parent, version, created, body) "
        "VALUES (?, ?, ?, ?, 1, ?, ?)",
        row.project.value, row.kind, row.id, row.parent, row.created ? row.created : now,
        Bytes{row.body});
  else
    connection.run(
        "UPDATE resource SET parent = ?, version = version + 1, body = ? "
        "WHERE project = ? AND kind = ? AND id = ?",
        row.parent, Bytes{row.body}, row.project.value, row.kind, row.id);
}

}  // namespace

Result<std::uint64_t> put_row(Connection& connection, const Row& row,
                              std::uint64_t expected_version, UnixMillis now) {
  std::uint64_t current = version_of(connection, row.project, row.kind, row.id);
  if (current != expected_version) return wrong_version(row.kind, row.id, current);
  put_checked(connection, row, current, now);
  return current + 1;
}

Result<void> write_rows(Connection& connection, const RowChanges& changes, UnixMillis now) {
  TRY_VOID(check_key_is_free(connection, changes.idempotency, now));
  for (const RowName& row : changes.deletes)
    if (version_of(connection, changes.project, row.kind, row.id) == 0)
      return no_such_row(row.kind, row.id);
  for (const auto& [row, expected_version] : changes.puts) {
    std::uint64_t current = version_of(connection, row.project, row.kind, row.id);
    if (current != expected_version) return wrong_version(row.kind, row.id, current);
  }

  for (const RowName& row : changes.deletes)
    connection.run("DELETE FROM resource WHERE project = ? AND kind = ? AND id = ?",
                   changes.project.value, row.kind, row.id);
  for (const RowGroup& group : changes.clear)
    connection.run("DELETE FROM resource WHERE project = ? AND kind = ? AND parent = ?",
                   changes.project.value, group.kind, group.parent);
  for (const auto& [row, expected_version] : changes.puts)
    put_checked(connection, row, expected_version, now);
  keep_answer(connection, changes.idempotency);
  return {};
}

}  // namespace perdure::journal::sqlite
