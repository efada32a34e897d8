#include "journal/sqlite/migrations.h"

#include <fmt/format.h>

#include <array>

namespace perdure::journal::sqlite {
namespace {

// Tables that are read in ranges of their key are WITHOUT ROWID: the rows of a session lie
// together. Only `blob` (large bodies) and `outbox` (a queue) are ordinary tables.
constexpr const char* kFirst = R"sql(
CREATE TABLE meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
  project    TEXT NOT NULL,
  id         TEXT NOT NULL,
  workstream TEXT,
  head       INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  created    INTEGER NOT NULL,
  open       INTEGER NOT NULL DEFAULT 0,
  deleted    INTEGER NOT NULL DEFAULT 0,
  recoveries INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (project, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_created ON session (project, created, id) WHERE deleted = 0;
CREATE INDEX session_open ON session (project, id) WHERE open = 1;

CREATE TABLE journal (
  project TEXT NOT NULL,
  session TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  kind    INTEGER NOT NULL,
  epoch   INTEGER NOT NULL,
  time    INTEGER NOT NULL,
  key_id  INTEGER NOT NULL DEFAULT 0,
  body    BLOB,
  blob    BLOB,
  PRIMARY KEY (project, session, seq),
  CHECK ((body IS NULL) <> (blob IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX journal_index_kinds ON journal (project, session, seq, kind)
  WHERE kind BETWEEN 100 AND 199;
CREATE INDEX journal_blob ON journal (project, blob) WHERE blob IS NOT NULL;

CREATE TABLE snapshot (
  project TEXT NOT NULL,
  session TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  format  INTEGER NOT NULL,
  body    BLOB NOT NULL,
  PRIMARY KEY (project, session, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE effect (
  project         TEXT NOT NULL,
  session         TEXT NOT NULL,
  call_id         TEXT NOT NULL,
  intent_seq      INTEGER NOT NULL,
  repeat_class    TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  state           INTEGER NOT NULL,
  PRIMARY KEY (project, session, call_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE timer (
  project TEXT NOT NULL,
  session TEXT NOT NULL,
  id      TEXT NOT NULL,
  due     INTEGER NOT NULL,
  body    BLOB NOT NULL,
  PRIMARY KEY (project, session, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX timer_due ON timer (due, project, session, id);

CREATE TABLE outbox (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT NOT NULL,
  session TEXT NOT NULL,
  target  TEXT NOT NULL,
  body    BLOB NOT NULL
) STRICT;

CREATE TABLE idempotency (
  project      TEXT NOT NULL,
  principal    TEXT NOT NULL,
  route        TEXT NOT NULL,
  key          TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  status       INTEGER NOT NULL,
  body         BLOB NOT NULL,
  session      TEXT NOT NULL,
  expires      INTEGER NOT NULL,
  PRIMARY KEY (project, principal, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expires ON idempotency (expires);
CREATE INDEX idempotency_session ON idempotency (project, session);

CREATE TABLE blob (
  project TEXT NOT NULL,
  hash    BLOB NOT NULL,
  size    INTEGER NOT NULL,
  body    BLOB NOT NULL,
  PRIMARY KEY (project, hash)
) STRICT;

CREATE TABLE resource (
  project TEXT NOT NULL,
  kind    TEXT NOT NULL,
  id      TEXT NOT NULL,
  parent  TEXT NOT NULL,
  version INTEGER NOT NULL,
  created INTEGER NOT NULL,
  body    BLOB NOT NULL,
  PRIMARY KEY (project, kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX resource_created ON resource (project, kind, created, id);
CREATE INDEX resource_parent ON resource (project, kind, parent, created, id);
)sql";

// What model calls cost. The empty text stands for none, so that rows of the same values are one.
constexpr const char* kSpend = R"sql(
CREATE TABLE reservation (
  project    TEXT NOT NULL,
  session    TEXT NOT NULL,
  call       INTEGER NOT NULL,
  amount     INTEGER NOT NULL,
  workstream TEXT NOT NULL,
  agent      TEXT NOT NULL,
  model      TEXT NOT NULL,
  provider   TEXT NOT NULL,
  PRIMARY KEY (project, session, call)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
  project        TEXT NOT NULL,
  day            TEXT NOT NULL,
  workstream     TEXT NOT NULL,
  agent          TEXT NOT NULL,
  session        TEXT NOT NULL,
  model          TEXT NOT NULL,
  provider       TEXT NOT NULL,
  calls          INTEGER NOT NULL,
  abandoned      INTEGER NOT NULL,
  estimated      INTEGER NOT NULL,
  unpriced       INTEGER NOT NULL,
  input          INTEGER NOT NULL,
  cached         INTEGER NOT NULL,
  cache_write    INTEGER NOT NULL,
  output         INTEGER NOT NULL,
  reasoning      INTEGER NOT NULL,
  cost           INTEGER NOT NULL,
  estimated_cost INTEGER NOT NULL,
  PRIMARY KEY (project, day, workstream, agent, session, model, provider)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_session ON usage (project, session);
CREATE INDEX usage_agent ON usage (project, agent, day);
CREATE INDEX usage_workstream ON usage (project, workstream, day);

CREATE TABLE budget (
  project      TEXT NOT NULL,
  scope        TEXT NOT NULL,
  id           TEXT NOT NULL,
  money        INTEGER NOT NULL,
  period       TEXT NOT NULL,
  created      INTEGER NOT NULL,
  window_began INTEGER NOT NULL,
  spent        INTEGER NOT NULL,
  reserved     INTEGER NOT NULL,
  PRIMARY KEY (project, scope, id)
) STRICT, WITHOUT ROWID;
)sql";

// What can be searched (search.h). The full-text index has a column `terms` of search_item and no
// text of its own: which items have a term is all that it is asked.
constexpr const char* kSearch = R"sql(
CREATE TABLE search_session (
  project TEXT NOT NULL,
  session TEXT NOT NULL,
  agent   TEXT NOT NULL,
  through INTEGER NOT NULL,
  PRIMARY KEY (project, session)
) STRICT, WITHOUT ROWID;

CREATE TABLE search_item (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT NOT NULL,
  session TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  sub     INTEGER NOT NULL,
  turn    INTEGER NOT NULL,
  kind    INTEGER NOT NULL,
  item    TEXT NOT NULL,
  time    INTEGER NOT NULL,
  text    BLOB NOT NULL,
  terms   TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX search_item_place ON search_item (project, session, seq, sub);

CREATE VIRTUAL TABLE search_text USING fts5 (
  terms, content = 'search_item', content_rowid = 'id',
  tokenize = "ascii tokenchars '_'", detail = none, columnsize = 0
);
)sql";

// Workstreams were names that sessions carry; each becomes a row of its own
// (docs/formats/journal.md).
constexpr const char* kWorkstreams = R"sql(
INSERT OR IGNORE INTO resource (project, kind, id, parent, version, created, body)
SELECT project, 'workstream', workstream, '', 1, min(created), CAST('{"v":1}' AS BLOB)
FROM session WHERE workstream IS NOT NULL AND deleted = 0 GROUP BY project, workstream;
)sql";

constexpr std::array kSteps = {kFirst, kSpend, kSearch, kWorkstreams};

std::int64_t version_of(Connection& connection) {
  Rows rows = connection.query("SELECT coalesce(max(version), 0) FROM schema_version");
  rows.next();
  return rows.integer(0);
}

}  // namespace

int newest_schema() {
  return static_cast<int>(kSteps.size());
}

Result<void> migrate(Connection& connection, UnixMillis now) {
  connection.execute(
      "CREATE TABLE IF NOT EXISTS schema_version ("
      "version INTEGER PRIMARY KEY, applied INTEGER NOT NULL) STRICT");
  std::int64_t version = version_of(connection);
  if (version > newest_schema())
    return fail(ErrorCode::kConflict,
                fmt::format("{} was written by a newer perdure: its schema is version {}, this "
                            "program knows versions up to {}. Start the newer program.",
                            connection.path(), version, newest_schema()));
  for (std::int64_t step = version + 1; step <= newest_schema(); ++step) {
    Transaction transaction(connection);
    connection.execute(kSteps[static_cast<std::size_t>(step - 1)]);
    connection.run("INSERT INTO schema_version VALUES (?, ?)", step, now);
    transaction.commit();
  }
  return {};
}

}  // namespace perdure::journal::sqlite
