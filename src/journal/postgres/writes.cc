#include "journal/postgres/writes.h"

#include <fmt/format.h>

#include <charconv>

#include "base/bytes.h"
#include "journal/append_check.h"
#include "journal/limits.h"
#include "journal/postgres/limits.h"
#include "journal/postgres/spend_tables.h"

namespace perdure::journal::postgres {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    std::size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    unsigned value = 0;
    std::from_chars(hex.data() + i, hex.data() + i + 2, value, 16);
    bytes.push_back(static_cast<char>(value));
  }
  return bytes;
}

/// The arrays of projects and of sessions.
std::pair<std::vector<std::string>, std::vector<std::string>> apart(
    const std::vector<SessionKey>& keys) {
  std::pair<std::vector<std::string>, std::vector<std::string>> arrays;
  for (const SessionKey& key : keys) {
    arrays.first.push_back(key.project.value);
    arrays.second.push_back(key.session.value);
  }
  return arrays;
}

}  // namespace

std::string StoreIdentity::blob_key(const ProjectId& project) const {
  return std::string(as_view(hmac_sha256(secret, "blob key of project " + project.value)));
}

std::uint64_t number_in(std::string_view outcome) {
  std::uint64_t value = 0;
  std::from_chars(outcome.data(), outcome.data() + outcome.size(), value);
  return value;
}

std::string with_outcome(std::string_view statement, std::string_view outcome) {
  return fmt::format(
      "{} SELECT set_config('perdure.outcomes', current_setting('perdure.outcomes') || ({}) || "
      "'{}', true)",
      statement, outcome, kOutcomeEnd);
}

std::string blob_is_at_rest(const StoreIdentity& identity, std::string_view table) {
  if (!identity.is_node) return "true";
  return fmt::format("{}.touched < clock_timestamp() - interval '{} milliseconds'", table,
                     kAttempts * kAnswerMs + kStatementMs);
}

std::string tell_others(std::string_view done) {
  return fmt::format(", told AS (UPDATE changes SET n = n + 1 WHERE EXISTS (SELECT FROM {}))",
                     done);
}

// ---- delete session -------------------------------------------------------------------------

Statement DeleteSession::statement(UnixMillis now) const {
  Statement q;
  std::string project = q.text(key_.project.value), session = q.text(key_.session.value);
  std::string head = q.number(head_), epoch = q.number(epoch_);
  std::string sql = fmt::format(
      "WITH guard AS (UPDATE session SET deleted = true, open = false, recoveries = 0, epoch = {3} "
      "WHERE project = {0} AND id = {1} AND head = {2} AND epoch <= {3} AND NOT deleted "
      "RETURNING 1), "
      "named AS (SELECT DISTINCT blob FROM journal, guard "
      "WHERE project = {0} AND session = {1} AND blob IS NOT NULL), "
      "unnamed AS (DELETE FROM blob USING named "
      "WHERE blob.project = {0} AND blob.hash = named.blob AND {4} AND NOT EXISTS "
      "(SELECT FROM journal j WHERE j.project = {0} AND j.blob = named.blob "
      "AND j.session <> {1}))",
      project, session, head, epoch, at_rest_);
  for (std::string_view table :
       {"journal", "snapshot", "effect", "timer", "idempotency", "search_item", "search_session"})
    sql += fmt::format(
        ", of_{0} AS (DELETE FROM {0} USING guard WHERE project = {1} AND session = {2})", table,
        project, session);
  for (const StatementPart& part : forget_session_spend(&q, key_, now))
    sql += fmt::format(", {} AS ({})", part.name, part.text);
  q.sql = with_outcome(
      sql, fmt::format("CASE WHEN EXISTS (SELECT FROM guard) THEN 'done' ELSE coalesce((SELECT "
                       "CASE WHEN deleted THEN 'gone ' || head ELSE 'fenced' END "
                       "FROM session WHERE project = {} AND id = {}), 'missing') END",
                       project, session));
  return q;
}

Result<Written> DeleteSession::answer(std::string_view outcome, UnixMillis now,
                                      StoreStats& counted) const {
  if (outcome == "missing") return no_such_session(key_);
  if (outcome == "fenced") {
    ++counted.fenced;
    return fenced(key_);
  }
  std::uint64_t head = head_;
  if (outcome.starts_with("gone "))
    head = number_in(outcome.substr(5));
  else
    counted.commits = 1;
  return Written{head, head, epoch_, now};
}

// ---- recovery -------------------------------------------------------------------------------

Statement BeginRecovery::statement(UnixMillis) const {
  Statement q;
  auto [projects, sessions] = apart(keys_);
  std::string from = q.texts(projects), of = q.texts(sessions);
  q.sql = with_outcome(
      fmt::format("WITH wanted AS (SELECT * FROM unnest({}, {}) WITH ORDINALITY "
                  "AS w (project, id, place)), "
                  "counted AS (UPDATE session s SET recoveries = recoveries + 1 "
                  "FROM (SELECT DISTINCT project, id FROM wanted) w "
                  "WHERE s.project = w.project AND s.id = w.id AND NOT s.deleted "
                  "RETURNING s.project, s.id, s.recoveries)",
                  from, of),
      "SELECT coalesce(string_agg(coalesce(c.recoveries, 0)::text, ',' ORDER BY w.place), '') "
      "FROM wanted w LEFT JOIN counted c ON c.project = w.project AND c.id = w.id");
  return q;
}

Result<std::vector<int>> BeginRecovery::answer(std::string_view outcome, UnixMillis,
                                               StoreStats& counted) const {
  std::vector<int> counts;
  for (std::string_view count : split(outcome, ','))
    counts.push_back(static_cast<int>(number_in(count)));
  counts.resize(keys_.size());
  counted.commits = 1;
  return counts;
}

Statement EndRecovery::statement(UnixMillis) const {
  Statement q;
  auto [projects, sessions] = apart(keys_);
  std::string from = q.texts(projects), of = q.texts(sessions);
  q.sql = with_outcome(fmt::format("WITH ended AS (UPDATE session s SET recoveries = 0 "
                                   "FROM unnest({}, {}) AS w (project, id) "
                                   "WHERE s.project = w.project AND s.id = w.id "
                                   "AND s.recoveries > 0)",
                                   from, of),
                       "'done'");
  return q;
}

Result<Written> EndRecovery::answer(std::string_view, UnixMillis now, StoreStats& counted) const {
  counted.commits = 1;
  return Written{.epoch = epoch_, .time = now};
}

// ---- outbox, garbage ------------------------------------------------------------------------

Statement DeleteOutbox::statement(UnixMillis) const {
  Statement q;
  q.sql = with_outcome(
      fmt::format("WITH sent AS (DELETE FROM outbox WHERE id = {})", q.number(id_)), "'done'");
  return q;
}

Result<Written> DeleteOutbox::answer(std::string_view, UnixMillis now, StoreStats& counted) const {
  counted.commits = 1;
  return Written{.epoch = epoch_, .time = now};
}

Statement CollectGarbage::statement(UnixMillis) const {
  Statement q;
  std::string expired = q.number(expired_), limit = q.number(std::uint64_t{kMaxCollected});
  std::string project = q.text(cursor_->project), hash = q.bytes(cursor_->hash);
  q.sql = with_outcome(
      fmt::format(
          "WITH expired AS (DELETE FROM idempotency WHERE (project, principal, route, key) IN "
          "(SELECT project, principal, route, key FROM idempotency WHERE expires <= {0} "
          "LIMIT {1}) RETURNING 1), "
          "seen AS (SELECT project, hash, EXISTS (SELECT FROM journal j "
          "WHERE j.project = b.project AND j.blob = b.hash) AS named FROM blob b "
          "WHERE (project, hash) > ({2}, {3}) ORDER BY project, hash LIMIT {1}), "
          "dropped AS (DELETE FROM blob b USING seen s "
          "WHERE NOT s.named AND b.project = s.project AND b.hash = s.hash AND {4} RETURNING 1), "
          "last AS (SELECT project, hash FROM seen ORDER BY project DESC, hash DESC LIMIT 1)",
          expired, limit, project, hash, at_rest_),
      "concat_ws(' ', (SELECT count(*) FROM expired) + (SELECT count(*) FROM dropped), "
      "(SELECT count(*) FROM seen), "
      "(SELECT encode(convert_to(project, 'UTF8'), 'hex') FROM last), "
      "(SELECT encode(hash, 'hex') FROM last))");
  return q;
}

Result<std::size_t> CollectGarbage::answer(std::string_view outcome, UnixMillis,
                                           StoreStats& counted) const {
  std::vector<std::string_view> parts = split(outcome, ' ');
  parts.resize(4);
  std::size_t dropped = number_in(parts[0]);
  if (number_in(parts[1]) < kMaxCollected)
    *cursor_ = {};
  else
    *cursor_ = {from_hex(parts[2]), from_hex(parts[3])};
  counted.commits = dropped > 0;
  return dropped;
}

// ---- rows -----------------------------------------------------------------------------------

Statement PutRow::statement(UnixMillis now) const {
  Statement q;
  std::string project = q.text(row_.project.value), kind = q.text(row_.kind), id = q.text(row_.id);
  std::string parent = q.text(row_.parent), body = q.bytes(row_.body);
  std::string sql;
  if (expected_ == 0)
    sql = fmt::format(
        "WITH put AS (INSERT INTO resource (project, kind, id, parent, version, created, body) "
        "VALUES ({}, {}, {}, {}, 1, {}, {}) ON CONFLICT DO NOTHING RETURNING version)",
        project, kind, id, parent, q.number(row_.created ? row_.created : now), body);
  else
    sql = fmt::format(
        "WITH put AS (UPDATE resource SET parent = {}, version = version + 1, body = {} "
        "WHERE project = {} AND kind = {} AND id = {} AND version = {} RETURNING version)",
        parent, body, project, kind, id, q.number(expected_));
  q.sql = with_outcome(
      sql + tell_others("put"),
      fmt::format("coalesce((SELECT 'put ' || version FROM put), 'is ' || coalesce((SELECT "
                  "version FROM resource WHERE project = {} AND kind = {} AND id = {}), 0))",
                  project, kind, id));
  return q;
}

Result<std::uint64_t> PutRow::answer(std::string_view outcome, UnixMillis,
                                     StoreStats& counted) const {
  if (!outcome.starts_with("put "))
    return wrong_version(row_.kind, row_.id, number_in(outcome.substr(outcome.find(' ') + 1)));
  counted.commits = 1;
  return number_in(outcome.substr(4));
}

Statement DeleteRow::statement(UnixMillis) const {
  Statement q;
  std::string project = q.text(project_.value), kind = q.text(kind_), id = q.text(id_);
  q.sql = with_outcome(
      fmt::format("WITH gone AS (DELETE FROM resource WHERE project = {} AND kind = {} AND id = {} "
                  "RETURNING 1)",
                  project, kind, id) +
          tell_others("gone"),
      "CASE WHEN EXISTS (SELECT FROM gone) THEN 'done' ELSE 'missing' END");
  return q;
}

Result<Written> DeleteRow::answer(std::string_view outcome, UnixMillis now,
                                  StoreStats& counted) const {
  if (outcome == "missing") return no_such_row(kind_, id_);
  counted.commits = 1;
  return Written{.epoch = epoch_, .time = now};
}

}  // namespace perdure::journal::postgres
