#include "journal/postgres/append_statement.h"

#include <fmt/format.h>

#include <map>

#include "base/bytes.h"
#include "base/planted_bug.h"
#include "journal/append_check.h"
#include "journal/limits.h"
#include "journal/postgres/kept_answer.h"

namespace perdure::journal::postgres {

struct AppendStatement::Parts {
  Statement q;
  std::string project, session, shard, now, time, epoch;  // what stands for them in the text
  UnixMillis entry_time = 0;
  Charges charges;
  std::string sql;

  /// One more thing that happens where the guards passed.
  void with(const StatementPart& part) { with(part.name, part.text); }
  void with(std::string_view name, std::string_view statement) {
    sql += fmt::format("{} {} AS ({})", sql.empty() ? "WITH" : ",", name, statement);
  }
};

AppendStatement::AppendStatement(Append append, const StoreIdentity& identity, std::uint64_t epoch,
                                 std::uint64_t first_outbox_id)
    : append_(std::move(append)), epoch_(epoch), first_outbox_id_(first_outbox_id) {
  for (const EntryDraft& entry : append_.entries)
    if (entry.body.size() > kBlobThreshold) hashes_.resize(append_.entries.size());
  if (!hashes_.empty()) blob_key_ = identity.blob_key(append_.key.project);
}

std::vector<Statement> AppendStatement::blobs() {
  std::vector<Statement> statements;
  for (std::size_t i = 0; i < hashes_.size(); ++i) {
    const std::string& body = append_.entries[i].body;
    if (body.size() <= kBlobThreshold) continue;
    hashes_[i] = as_view(hmac_sha256(blob_key_, body));
    Statement& q = statements.emplace_back();
    std::string project = q.text(append_.key.project.value), hash = q.bytes(hashes_[i]);
    std::string size = q.number(std::uint64_t{body.size()}), bytes = q.bytes(body);
    q.sql = fmt::format(
        "INSERT INTO blob (project, hash, size, body) VALUES ({}, {}, {}, {}) "
        "ON CONFLICT (project, hash) DO UPDATE SET touched = clock_timestamp()",
        project, hash, size, bytes);
  }
  return statements;
}

Statement AppendStatement::statement(UnixMillis now) const {
  Parts parts{.entry_time = append_.time != 0 ? append_.time : now, .charges = Charges(append_)};
  parts.project = parts.q.text(append_.key.project.value);
  parts.session = parts.q.text(append_.key.session.value);
  parts.shard = parts.q.number(std::int64_t{shard_of(append_.key)});
  parts.now = parts.q.number(now);
  parts.time = parts.q.number(parts.entry_time);
  parts.epoch = parts.q.number(epoch_);
  move_head(parts);
  add_entries(parts);
  change_effects(parts);
  change_timers(parts);
  add_outbox(parts);
  move_money(parts);
  keep_answer(parts);
  keep_snapshot(parts);

  std::string_view done = append_.idempotency ? kDoneWithAnswer : "'done'";
  std::string_view used = append_.idempotency ? "WHEN EXISTS (SELECT FROM kept) THEN 'used' " : "";
  std::string budget;
  if (!parts.charges.empty())
    budget = fmt::format("WHEN {0} IS NOT NULL AND {1} THEN 'budget ' || {0} ",
                         Charges::overdrawn(), head_is_ours(parts));
  // A row that this statement cannot see and yet collides with was created a moment ago.
  parts.q.sql = with_outcome(
      parts.sql,
      fmt::format("CASE WHEN EXISTS (SELECT FROM guard) THEN {} {}{}"
                  "ELSE coalesce((SELECT CASE WHEN deleted THEN 'missing' ELSE 'fenced' END "
                  "FROM session WHERE project = {} AND id = {}), '{}') END",
                  done, used, budget, parts.project, parts.session,
                  is_creation() ? "fenced" : "missing"));
  return std::move(parts.q);
}

Result<Written> AppendStatement::answer(std::string_view outcome, UnixMillis now,
                                        StoreStats& counted) const {
  if (outcome == "used") return key_in_use(append_.idempotency->scope);
  if (outcome.starts_with("budget ")) return Charges(append_).refusal(number_in(outcome.substr(7)));
  if (outcome == "missing") return no_such_session(append_.key);
  if (outcome == "fenced") {
    ++counted.fenced;
    return is_creation() ? already_exists(append_.key) : fenced(append_.key);
  }
  ++counted.appends;
  counted.commits = 1;
  counted.entries += append_.entries.size();
  for (const EntryDraft& entry : append_.entries) counted.bytes += entry.body.size();
  return Written{append_.head + 1, new_head(), epoch_, append_.time != 0 ? append_.time : now};
}

/// An expression: whether head and epoch would have let the append pass.
std::string AppendStatement::head_is_ours(Parts& parts) const {
  std::string row = fmt::format("(SELECT FROM session WHERE project = {} AND id = {}",
                                parts.project, parts.session);
  if (is_creation()) return fmt::format("NOT EXISTS {})", row);
  return fmt::format("EXISTS {} AND head = {} AND epoch <= {} AND NOT deleted)", row,
                     parts.q.number(append_.head), parts.epoch);
}

// ---- the guards -----------------------------------------------------------------------------

void AppendStatement::move_head(Parts& parts) const {
  Statement& q = parts.q;
  std::string condition = "true";  // beside head and epoch
  if (append_.idempotency) {
    parts.with("kept", find_kept(&q, append_.idempotency->scope, parts.now));
    condition += " AND NOT EXISTS (SELECT FROM kept)";
  }
  if (!parts.charges.empty()) {
    parts.with(parts.charges.charged(&q, parts.entry_time));
    condition += fmt::format(" AND {} IS NULL", Charges::overdrawn());
  }
  std::string head = q.number(new_head()), open = q.flag(append_.open);
  if (is_creation()) {
    parts.with("guard", fmt::format("INSERT INTO session "
                                    "(project, id, shard, workstream, head, epoch, created, open) "
                                    "SELECT {}, {}, {}, {}, {}, {}, {}, {} WHERE {} "
                                    "ON CONFLICT DO NOTHING RETURNING 1",
                                    parts.project, parts.session, parts.shard,
                                    q.text_or_null(append_.workstream), head, parts.epoch,
                                    parts.time, open, condition));
    return;
  }
  std::string newest = planted("skip-epoch-check") ? "9223372036854775807" : parts.epoch;
  parts.with("guard",
             fmt::format("UPDATE session SET head = {}, epoch = {}, open = {} WHERE project = {} "
                         "AND id = {} AND head = {} AND epoch <= {} AND NOT deleted AND {} "
                         "RETURNING 1",
                         head, parts.epoch, open, parts.project, parts.session,
                         q.number(append_.head), newest, condition));
}

// ---- what commits with the entries ----------------------------------------------------------

void AppendStatement::add_entries(Parts& parts) const {
  if (append_.entries.empty()) return;
  std::vector<std::int64_t> seqs, kinds;
  std::vector<std::optional<std::string_view>> bodies, blobs;
  for (std::size_t i = 0; i < append_.entries.size(); ++i) {
    const EntryDraft& entry = append_.entries[i];
    bool is_large = entry.body.size() > kBlobThreshold;
    seqs.push_back(static_cast<std::int64_t>(append_.head + i + 1));
    kinds.push_back(entry.kind);
    bodies.push_back(is_large ? std::nullopt : std::optional<std::string_view>(entry.body));
    blobs.push_back(is_large ? std::optional<std::string_view>(hashes_.at(i)) : std::nullopt);
  }
  Statement& q = parts.q;
  std::string rows = q.numbers(seqs);
  for (const std::string& array : {q.numbers(kinds), q.byte_strings(bodies), q.byte_strings(blobs)})
    rows += ", " + array;
  parts.with(
      "entries",
      fmt::format("INSERT INTO journal (project, session, seq, kind, epoch, time, body, blob) "
                  "SELECT {}, {}, e.seq, e.kind, {}, {}, e.body, e.blob "
                  "FROM guard, unnest({}) AS e (seq, kind, body, blob)",
                  parts.project, parts.session, parts.epoch, parts.time, rows));
}

void AppendStatement::change_effects(Parts& parts) const {
  Statement& q = parts.q;
  // All parts of a statement see the same rows, so no row may be touched by two of them: what is
  // closed and opened is only opened, which replaces it, and of two with one name the last counts.
  std::map<std::string_view, const EffectRow*> opened;
  for (const EffectRow& effect : append_.open_effects) opened[effect.call_id] = &effect;
  std::vector<std::optional<std::string_view>> closed;
  for (const std::string& call_id : append_.close_effects)
    if (!opened.contains(call_id)) closed.emplace_back(call_id);
  if (!closed.empty())
    parts.with("closed", fmt::format("DELETE FROM effect USING guard WHERE project = {} "
                                     "AND session = {} AND call_id = ANY ({})",
                                     parts.project, parts.session, q.byte_strings(closed)));
  if (opened.empty()) return;
  std::vector<std::optional<std::string_view>> call_ids, keys;
  std::vector<std::string> classes;
  std::vector<std::int64_t> intents, states;
  for (const auto& [call_id, effect] : opened) {
    call_ids.emplace_back(call_id);
    keys.emplace_back(effect->idempotency_key);
    classes.push_back(effect->repeat_class);
    intents.push_back(
        static_cast<std::int64_t>(effect->intent_seq ? effect->intent_seq : append_.head + 1));
    states.push_back(static_cast<std::int64_t>(effect->state));
  }
  std::string rows = q.byte_strings(call_ids);
  for (const std::string& array :
       {q.numbers(intents), q.texts(classes), q.byte_strings(keys), q.numbers(states)})
    rows += ", " + array;
  parts.with(
      "opened",
      fmt::format("INSERT INTO effect "
                  "(project, session, call_id, intent_seq, repeat_class, idempotency_key, state) "
                  "SELECT {}, {}, e.* FROM guard, unnest({}) AS e "
                  "ON CONFLICT (project, session, call_id) DO UPDATE SET "
                  "intent_seq = excluded.intent_seq, repeat_class = excluded.repeat_class, "
                  "idempotency_key = excluded.idempotency_key, state = excluded.state",
                  parts.project, parts.session, rows));
}

void AppendStatement::change_timers(Parts& parts) const {
  Statement& q = parts.q;
  std::map<std::string, const TimerRow*> set;
  for (const TimerRow& timer : append_.set_timers) set[timer.id] = &timer;
  std::vector<std::string> cleared;
  for (const std::string& id : append_.clear_timers)
    if (!set.contains(id)) cleared.push_back(id);
  if (!cleared.empty())
    parts.with("cleared", fmt::format("DELETE FROM timer USING guard WHERE project = {} "
                                      "AND session = {} AND id = ANY ({})",
                                      parts.project, parts.session, q.texts(cleared)));
  if (set.empty() || planted("lost-timer")) return;
  std::vector<std::string> ids;
  std::vector<std::int64_t> due;
  std::vector<std::optional<std::string_view>> bodies;
  for (const auto& [id, timer] : set) {
    ids.push_back(id);
    due.push_back(timer->due);
    bodies.emplace_back(timer->body);
  }
  std::string rows = q.texts(ids);
  for (const std::string& array : {q.numbers(due), q.byte_strings(bodies)}) rows += ", " + array;
  parts.with("timers", fmt::format("INSERT INTO timer (project, session, shard, id, due, body) "
                                   "SELECT {}, {}, {}, t.* FROM guard, unnest({}) AS t "
                                   "ON CONFLICT (project, session, id) DO UPDATE SET "
                                   "due = excluded.due, body = excluded.body",
                                   parts.project, parts.session, parts.shard, rows));
}

void AppendStatement::add_outbox(Parts& parts) const {
  if (append_.outbox.empty()) return;
  std::vector<std::int64_t> ids;
  std::vector<std::string> targets;
  std::vector<std::optional<std::string_view>> bodies;
  for (const OutboxRow& row : append_.outbox) {
    ids.push_back(static_cast<std::int64_t>(first_outbox_id_ + ids.size()));
    targets.push_back(row.target);
    bodies.emplace_back(row.body);
  }
  Statement& q = parts.q;
  std::string rows = q.numbers(ids);
  for (const std::string& array : {q.texts(targets), q.byte_strings(bodies)}) rows += ", " + array;
  parts.with("outgoing", fmt::format("INSERT INTO outbox (id, project, session, target, body) "
                                     "SELECT o.id, {}, {}, o.target, o.body "
                                     "FROM guard, unnest({}) AS o (id, target, body)",
                                     parts.project, parts.session, rows));
}

void AppendStatement::move_money(Parts& parts) const {
  if (parts.charges.empty()) return;
  for (const StatementPart& part : parts.charges.changes(&parts.q, parts.entry_time))
    parts.with(part);
}

void AppendStatement::keep_answer(Parts& parts) const {
  if (append_.idempotency) parts.with("answer", keep(&parts.q, *append_.idempotency, parts.now));
}

void AppendStatement::keep_snapshot(Parts& parts) const {
  if (!append_.snapshot) return;
  const Snapshot& snapshot = *append_.snapshot;
  Statement& q = parts.q;
  std::string seq = q.number(snapshot.seq), format = q.number(std::uint64_t{snapshot.format});
  parts.with("snapshots",
             fmt::format("INSERT INTO snapshot (project, session, seq, format, body) "
                         "SELECT {}, {}, {}, {}, {} FROM guard "
                         "ON CONFLICT (project, session, seq) DO UPDATE SET "
                         "format = excluded.format, body = excluded.body",
                         parts.project, parts.session, seq, format, q.bytes(snapshot.body)));
  // The new one cannot be seen yet: of those before it one less than kSnapshotsKept stay.
  parts.with("outdated",
             fmt::format("DELETE FROM snapshot USING guard WHERE project = {0} AND session = {1} "
                         "AND seq <= (SELECT s.seq FROM snapshot s WHERE s.project = {0} "
                         "AND s.session = {1} AND s.seq < {2} ORDER BY s.seq DESC "
                         "LIMIT 1 OFFSET {3})",
                         parts.project, parts.session, seq, kSnapshotsKept - 1));
}

}  // namespace perdure::journal::postgres
