#include "journal/postgres/migrations.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "journal/postgres/limits.h"

namespace perdure::journal::postgres {
namespace {

// Names that the server makes are text, compared by their bytes (COLLATE "C"), so that lists have
// the same order in every store; what callers and models choose freely is bytea, as they wrote it.
// `opening` has one row per opening of the store and is written with every commit: room in its
// pages keeps those updates where they are.
constexpr const char* kFirst = R"sql(
CREATE TABLE meta (
  name  text COLLATE "C" NOT NULL PRIMARY KEY,
  value bytea NOT NULL
);

CREATE TABLE opening (
  epoch      bigint NOT NULL PRIMARY KEY,
  opened     bigint NOT NULL,
  generation bigint NOT NULL DEFAULT 0,
  groups     bigint NOT NULL DEFAULT 0,
  outcomes   text NOT NULL DEFAULT '',
  superseded boolean NOT NULL DEFAULT false
) WITH (fillfactor = 20);

CREATE TABLE session (
  project    text COLLATE "C" NOT NULL,
  id         text COLLATE "C" NOT NULL,
  workstream text COLLATE "C",
  head       bigint NOT NULL,
  epoch      bigint NOT NULL,
  created    bigint NOT NULL,
  open       boolean NOT NULL DEFAULT false,
  deleted    boolean NOT NULL DEFAULT false,
  recoveries integer NOT NULL DEFAULT 0,
  PRIMARY KEY (project, id)
) WITH (fillfactor = 70);
CREATE INDEX session_created ON session (project, created, id) WHERE NOT deleted;
CREATE INDEX session_open ON session (project, id) WHERE open;

CREATE TABLE journal (
  project text COLLATE "C" NOT NULL,
  session text COLLATE "C" NOT NULL,
  seq     bigint NOT NULL,
  kind    integer NOT NULL,
  epoch   bigint NOT NULL,
  time    bigint NOT NULL,
  key_id  bigint NOT NULL DEFAULT 0,
  body    bytea,
  blob    bytea,
  PRIMARY KEY (project, session, seq),
  CHECK ((body IS NULL) <> (blob IS NULL))
);
CREATE INDEX journal_index_kinds ON journal (project, session, seq, kind)
  WHERE kind BETWEEN 100 AND 199;
CREATE INDEX journal_blob ON journal (project, blob) WHERE blob IS NOT NULL;

CREATE TABLE snapshot (
  project text COLLATE "C" NOT NULL,
  session text COLLATE "C" NOT NULL,
  seq     bigint NOT NULL,
  format  bigint NOT NULL,
  body    bytea NOT NULL,
  PRIMARY KEY (project, session, seq)
);

CREATE TABLE effect (
  project         text COLLATE "C" NOT NULL,
  session         text COLLATE "C" NOT NULL,
  call_id         bytea NOT NULL,
  intent_seq      bigint NOT NULL,
  repeat_class    text NOT NULL,
  idempotency_key bytea NOT NULL,
  state           integer NOT NULL,
  PRIMARY KEY (project, session, call_id)
);

CREATE TABLE timer (
  project text COLLATE "C" NOT NULL,
  session text COLLATE "C" NOT NULL,
  id      text COLLATE "C" NOT NULL,
  due     bigint NOT NULL,
  body    bytea NOT NULL,
  PRIMARY KEY (project, session, id)
);
CREATE INDEX timer_due ON timer (due, project, session, id);

CREATE TABLE outbox (
  id      bigint NOT NULL PRIMARY KEY,
  project text COLLATE "C" NOT NULL,
  session text COLLATE "C" NOT NULL,
  target  text NOT NULL,
  body    bytea NOT NULL
);

CREATE TABLE idempotency (
  project      text COLLATE "C" NOT NULL,
  principal    text COLLATE "C" NOT NULL,
  route        text COLLATE "C" NOT NULL,
  key          bytea NOT NULL,
  request_hash bytea NOT NULL,
  status       integer NOT NULL,
  body         bytea NOT NULL,
  session      text COLLATE "C" NOT NULL,
  expires      bigint NOT NULL,
  PRIMARY KEY (project, principal, route, key)
);
CREATE INDEX idempotency_expires ON idempotency (expires);
CREATE INDEX idempotency_session ON idempotency (project, session);

CREATE TABLE blob (
  project text COLLATE "C" NOT NULL,
  hash    bytea NOT NULL,
  size    bigint NOT NULL,
  body    bytea NOT NULL,
  PRIMARY KEY (project, hash)
);

CREATE TABLE resource (
  project text COLLATE "C" NOT NULL,
  kind    text COLLATE "C" NOT NULL,
  id      text COLLATE "C" NOT NULL,
  parent  text COLLATE "C" NOT NULL,
  version bigint NOT NULL,
  created bigint NOT NULL,
  body    bytea NOT NULL,
  PRIMARY KEY (project, kind, id)
);
CREATE INDEX resource_created ON resource (project, kind, created, id);
CREATE INDEX resource_parent ON resource (project, kind, parent, created, id);
)sql";

// What model calls cost. The empty text stands for none, so that rows of the same values are one.
constexpr const char* kSpend = R"sql(
CREATE TABLE reservation (
  project    text COLLATE "C" NOT NULL,
  session    text COLLATE "C" NOT NULL,
  call       bigint NOT NULL,
  amount     bigint NOT NULL,
  workstream text COLLATE "C" NOT NULL,
  agent      text COLLATE "C" NOT NULL,
  model      text COLLATE "C" NOT NULL,
  provider   text COLLATE "C" NOT NULL,
  PRIMARY KEY (project, session, call)
);

CREATE TABLE usage (
  project        text COLLATE "C" NOT NULL,
  day            text COLLATE "C" NOT NULL,
  workstream     text COLLATE "C" NOT NULL,
  agent          text COLLATE "C" NOT NULL,
  session        text COLLATE "C" NOT NULL,
  model          text COLLATE "C" NOT NULL,
  provider       text COLLATE "C" NOT NULL,
  calls          bigint NOT NULL,
  abandoned      bigint NOT NULL,
  estimated      bigint NOT NULL,
  unpriced       bigint NOT NULL,
  input          bigint NOT NULL,
  cached         bigint NOT NULL,
  cache_write    bigint NOT NULL,
  output         bigint NOT NULL,
  reasoning      bigint NOT NULL,
  cost           bigint NOT NULL,
  estimated_cost bigint NOT NULL,
  PRIMARY KEY (project, day, workstream, agent, session, model, provider)
);
CREATE INDEX usage_session ON usage (project, session);
CREATE INDEX usage_agent ON usage (project, agent, day);
CREATE INDEX usage_workstream ON usage (project, workstream, day);

CREATE TABLE budget (
  project      text COLLATE "C" NOT NULL,
  scope        text COLLATE "C" NOT NULL,
  id           text COLLATE "C" NOT NULL,
  money        bigint NOT NULL,
  period       text COLLATE "C" NOT NULL,
  created      bigint NOT NULL,
  window_began bigint NOT NULL,
  spent        bigint NOT NULL,
  reserved     bigint NOT NULL,
  PRIMARY KEY (project, scope, id)
);
)sql";

// Many nodes. A session's shard stands in its rows so that a node finds those of its own; `until`
// is by this database's clock. The epochs of shards begin above all that entries have so far.
constexpr const char* kNodes = R"sql(
ALTER TABLE opening ADD COLUMN node text NOT NULL DEFAULT '';
ALTER TABLE opening ADD COLUMN url text NOT NULL DEFAULT '';
ALTER TABLE opening ADD COLUMN until timestamptz NOT NULL DEFAULT '-infinity';

CREATE TABLE shard (
  id     smallint NOT NULL PRIMARY KEY,
  holder bigint NOT NULL,
  epoch  bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO shard SELECT id, 0, (SELECT coalesce(max(epoch), 0) FROM opening)
  FROM generate_series(0, 255) AS id;

CREATE TABLE changes (n bigint NOT NULL) WITH (fillfactor = 20);
INSERT INTO changes VALUES (0);

ALTER TABLE session ADD COLUMN shard smallint;
UPDATE session SET shard = get_byte(sha256(convert_to(project || chr(10) || id, 'UTF8')), 0);
ALTER TABLE session ALTER COLUMN shard SET NOT NULL;
ALTER TABLE timer ADD COLUMN shard smallint;
UPDATE timer SET shard = get_byte(sha256(convert_to(project || chr(10) || session, 'UTF8')), 0);
ALTER TABLE timer ALTER COLUMN shard SET NOT NULL;

ALTER TABLE blob ADD COLUMN touched timestamptz NOT NULL DEFAULT clock_timestamp();
)sql";

// What can be searched (search.h). Texts are bytea, as callers and models wrote them.
constexpr const char* kSearch = R"sql(
CREATE TABLE search_session (
  project text COLLATE "C" NOT NULL,
  session text COLLATE "C" NOT NULL,
  agent   text COLLATE "C" NOT NULL,
  through bigint NOT NULL,
  PRIMARY KEY (project, session)
) WITH (fillfactor = 70);

CREATE TABLE search_item (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project text COLLATE "C" NOT NULL,
  session text COLLATE "C" NOT NULL,
  seq     bigint NOT NULL,
  sub     bigint NOT NULL,
  turn    bigint NOT NULL,
  kind    integer NOT NULL,
  item    text NOT NULL,
  time    bigint NOT NULL,
  text    bytea NOT NULL,
  terms   tsvector NOT NULL
);
CREATE UNIQUE INDEX search_item_place ON search_item (project, session, seq, sub);
CREATE INDEX search_item_terms ON search_item USING gin (terms);
)sql";

// Workstreams were names that sessions carry; each becomes a row of its own
// (docs/formats/journal.md).
constexpr const char* kWorkstreams = R"sql(
INSERT INTO resource (project, kind, id, parent, version, created, body)
SELECT project, 'workstream', workstream, '', 1, min(created), convert_to('{"v":1}', 'UTF8')
FROM session WHERE workstream IS NOT NULL AND NOT deleted GROUP BY project, workstream
ON CONFLICT DO NOTHING;
)sql";

constexpr std::array kSteps = {kFirst, kSpend, kNodes, kSearch, kWorkstreams};

std::unexpected<Error> refused(const Connection& connection, const Failure& failure) {
  if (failure.sqlstate == "42501")
    return fail(ErrorCode::kPermissionDenied,
                fmt::format("{}: the role may not create tables there ({}). Let it own the "
                            "database, or GRANT CREATE ON SCHEMA to it.",
                            connection.name(), failure.message));
  if (failure.sqlstate == "42P07")
    return fail(ErrorCode::kConflict,
                fmt::format("{} holds tables of another program ({}). Give Perdure a database or a "
                            "schema of its own.",
                            connection.name(), failure.message));
  return fail(failure.to_error().code,
              fmt::format("{}: the schema could not be brought up to date: "
                          "{}",
                          connection.name(), failure.message));
}

Outcome<std::int64_t> version_of(Connection& connection) {
  const Statement question("SELECT coalesce(max(version), 0) FROM schema_version");
  auto answers = connection.run({&question, 1}, kStatementMs);
  if (!answers) return std::unexpected(std::move(answers).error());
  return answers->front().integer(0, 0);
}

/// Two nodes that make it at once collide in the catalogue; the second time it is there.
Outcome<void> make_version_table(Connection& connection) {
  constexpr int kTries = 5;
  Outcome<void> made;
  for (int i = 0; i < kTries; ++i) {
    const Statement question("SELECT to_regclass('schema_version') IS NOT NULL");
    auto there = connection.run({&question, 1}, kStatementMs);
    if (!there) return std::unexpected(std::move(there).error());
    if (there->front().flag(0, 0)) return {};
    made = connection.script(
        "CREATE TABLE schema_version (version integer NOT NULL PRIMARY KEY, applied bigint NOT "
        "NULL)");
    if (made) return made;
    // The catalogue refuses the table, its type or a row: whichever is met first.
    const std::string& state = made.error().sqlstate;
    if (state != "42P07" && state != "42710" && state != "23505") return made;
  }
  return made;
}

}  // namespace

int newest_schema() {
  return static_cast<int>(kSteps.size());
}

Result<void> migrate(Connection& connection, UnixMillis now) {
  if (auto made = make_version_table(connection); !made) return refused(connection, made.error());
  auto version = version_of(connection);
  if (!version) return refused(connection, version.error());
  if (*version < newest_schema()) {
    std::string locked = "BEGIN; LOCK TABLE schema_version IN ACCESS EXCLUSIVE MODE;";
    // The version may have moved while we waited for the lock: each step asks for itself.
    std::string steps;
    for (int step = 1; step <= newest_schema(); ++step)
      steps += fmt::format(
          "IF NOT EXISTS (SELECT FROM schema_version WHERE version >= {0}) THEN\n{1}\n"
          "INSERT INTO schema_version VALUES ({0}, {2}); END IF;\n",
          step, kSteps[static_cast<std::size_t>(step - 1)], now);
    auto taken = connection.script(
        fmt::format("{} DO $migrate$ BEGIN\n{}END $migrate$; COMMIT", locked, steps));
    if (!taken) return refused(connection, taken.error());
    version = version_of(connection);
    if (!version) return refused(connection, version.error());
  }
  if (*version > newest_schema())
    return fail(ErrorCode::kConflict,
                fmt::format("{} was migrated by a newer perdure: its schema is version {}, this "
                            "program knows versions up to {}. Start the newer program.",
                            connection.name(), *version, newest_schema()));
  return {};
}

}  // namespace perdure::journal::postgres
