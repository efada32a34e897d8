#include "journal/postgres/row_changes.h"

#include <fmt/format.h>

#include <charconv>

#include "journal/append_check.h"
#include "journal/postgres/kept_answer.h"

namespace perdure::journal::postgres {
namespace {

/// The rows to put, as the arguments of unnest.
std::string puts_of(Statement* q, const std::vector<RowPut>& puts, UnixMillis now) {
  std::vector<std::string> kinds, ids, parents;
  std::vector<std::optional<std::string_view>> bodies;
  std::vector<std::int64_t> created, expected;
  for (const auto& [row, expected_version] : puts) {
    kinds.push_back(row.kind);
    ids.push_back(row.id);
    parents.push_back(row.parent);
    bodies.emplace_back(row.body);
    created.push_back(row.created ? row.created : now);
    expected.push_back(static_cast<std::int64_t>(expected_version));
  }
  std::string arrays = q->texts(kinds);
  for (const std::string& array : {q->texts(ids), q->texts(parents), q->byte_strings(bodies),
                                   q->numbers(created), q->numbers(expected)})
    arrays += ", " + array;
  return arrays;
}

/// "stale 3 7" gives 3 and 7.
std::pair<std::size_t, std::uint64_t> numbers_in(std::string_view outcome) {
  std::pair<std::size_t, std::uint64_t> numbers;
  const char* end = outcome.data() + outcome.size();
  const char* at = outcome.data() + std::min(outcome.find(' ') + 1, outcome.size());
  at = std::from_chars(at, end, numbers.first).ptr;
  if (at != end) std::from_chars(at + 1, end, numbers.second);
  return numbers;
}

}  // namespace

Statement WriteRows::statement(UnixMillis now) const {
  Statement q;
  std::string project = q.text(changes_.project.value), time = q.number(now);
  std::vector<std::string> kinds, ids, groups, parents;
  for (const RowName& row : changes_.deletes) {
    kinds.push_back(row.kind);
    ids.push_back(row.id);
  }
  for (const RowGroup& group : changes_.clear) {
    groups.push_back(group.kind);
    parents.push_back(group.parent);
  }
  std::string puts = puts_of(&q, changes_.puts, now);
  std::string names = q.texts(kinds), of = q.texts(ids);
  std::string cleared = q.texts(groups), below = q.texts(parents);
  const bool keeps = changes_.idempotency.has_value();

  std::string sql = "WITH ";
  if (keeps) sql += fmt::format("kept AS ({}), ", find_kept(&q, changes_.idempotency->scope, time));
  sql += fmt::format(
      "named AS (SELECT * FROM unnest({1}, {2}) WITH ORDINALITY AS n (kind, id, place)), "
      "wanted AS (SELECT * FROM unnest({3}) WITH ORDINALITY "
      "AS w (kind, id, parent, body, created, expected, place)), "
      "lacking AS (SELECT n.place FROM named n WHERE NOT EXISTS (SELECT FROM resource r "
      "WHERE r.project = {0} AND r.kind = n.kind AND r.id = n.id) ORDER BY n.place LIMIT 1), "
      "stale AS (SELECT w.place, coalesce(r.version, 0) AS version FROM wanted w "
      "LEFT JOIN resource r ON r.project = {0} AND r.kind = w.kind AND r.id = w.id "
      "WHERE coalesce(r.version, 0) <> w.expected ORDER BY w.place LIMIT 1), "
      "guard AS (SELECT 1 WHERE NOT EXISTS (SELECT FROM lacking) "
      "AND NOT EXISTS (SELECT FROM stale) {4}), "
      "gone AS (DELETE FROM resource r USING guard, named n "
      "WHERE r.project = {0} AND r.kind = n.kind AND r.id = n.id), "
      "cleared AS (DELETE FROM resource r USING guard, unnest({5}, {6}) AS g (kind, parent) "
      "WHERE r.project = {0} AND r.kind = g.kind AND r.parent = g.parent), "
      "made AS (INSERT INTO resource (project, kind, id, parent, version, created, body) "
      "SELECT {0}, w.kind, w.id, w.parent, 1, w.created, w.body FROM guard, wanted w "
      "WHERE w.expected = 0), "
      "changed AS (UPDATE resource r SET parent = w.parent, version = r.version + 1, "
      "body = w.body FROM guard, wanted w WHERE w.expected > 0 AND r.project = {0} "
      "AND r.kind = w.kind AND r.id = w.id AND r.version = w.expected RETURNING 1)",
      project, names, of, puts, keeps ? "AND NOT EXISTS (SELECT FROM kept)" : "", cleared, below);
  if (keeps) sql += fmt::format(", answer AS ({})", keep(&q, *changes_.idempotency, time));

  // A row that another node changed between our look and our write leaves nothing to divide by: the
  // repetition sees it.
  q.sql = with_outcome(
      sql, fmt::format("CASE WHEN EXISTS (SELECT FROM guard) THEN left({}, 4 * (1 / (CASE WHEN "
                       "(SELECT count(*) FROM changed) = "
                       "(SELECT count(*) FROM wanted WHERE expected > 0) THEN 1 ELSE 0 END))) {} "
                       "WHEN EXISTS (SELECT FROM lacking) THEN 'lacks ' || (SELECT place FROM "
                       "lacking) ELSE (SELECT 'stale ' || place || ' ' || version FROM stale) END",
                       keeps ? kDoneWithAnswer : "'done'",
                       keeps ? "WHEN EXISTS (SELECT FROM kept) THEN 'used'" : ""));
  return q;
}

Result<Written> WriteRows::answer(std::string_view outcome, UnixMillis now,
                                  StoreStats& counted) const {
  if (outcome == "used") return key_in_use(changes_.idempotency->scope);
  auto [place, version] = numbers_in(outcome);
  if (outcome.starts_with("lacks ")) {
    const RowName& row = changes_.deletes.at(place - 1);
    return no_such_row(row.kind, row.id);
  }
  if (outcome.starts_with("stale ")) {
    const Row& row = changes_.puts.at(place - 1).row;
    return wrong_version(row.kind, row.id, version);
  }
  counted.commits = 1;
  return Written{.epoch = epoch_, .time = now};
}

}  // namespace perdure::journal::postgres
