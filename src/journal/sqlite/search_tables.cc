#include "journal/sqlite/search_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/planted_bug.h"
#include "journal/search_terms.h"
#include "journal/sqlite/viewer_sql.h"

namespace perdure::journal::sqlite {
namespace {

/// Whether the session is there and its position is where the update begins; moves it.
bool move_position(Connection& connection, const SearchUpdate& update) {
  const auto& [project, session] = update.key;
  if (update.from > 0)
    return connection.run(
               "UPDATE search_session SET through = ? "
               "WHERE project = ? AND session = ? AND through = ?",
               update.through, project.value, session.value, update.from) == 1;
  return connection.run(
             "INSERT INTO search_session (project, session, agent, through) "
             "SELECT project, id, ?3, ?4 FROM session "
             "WHERE project = ?1 AND id = ?2 AND deleted = 0 ON CONFLICT DO NOTHING",
             project.value, session.value, update.agent, update.through) == 1;
}

void add_item(Connection& connection, const SessionKey& key, const SearchItem& item,
              const std::string& scope) {
  const std::string terms = fmt::format("{} {}", scope, fmt::join(indexed_terms(item.text), " "));
  connection.run(
      "INSERT INTO search_item (project, session, seq, sub, turn, kind, item, time, text, terms) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      key.project.value, key.session.value, item.place.seq, std::int64_t{item.place.sub}, item.turn,
      static_cast<int>(item.kind), item.item, item.time, Bytes{item.text}, terms);
  connection.run("INSERT INTO search_text (rowid, terms) VALUES (?, ?)",
                 connection.last_insert_id(), terms);
}

/// Items that match the full-text expression, the newest first, by their ids.
std::size_t add_matches(Connection& connection, const SearchQuery& query,
                        const std::string& expression, std::map<std::int64_t, FoundItem>* found) {
  // The index first, then the rows that it names: nothing else is quick, and no statistics say so.
  static const std::string kSql = fmt::format(
      "SELECT i.id, i.session, c.agent, s.workstream, i.seq, i.sub, i.turn, i.kind, i.item, "
      "i.time, i.text FROM search_text "
      "CROSS JOIN search_item i ON i.id = search_text.rowid "
      "CROSS JOIN search_session c ON c.project = i.project AND c.session = i.session "
      "CROSS JOIN session s ON s.project = i.project AND s.id = i.session "
      "WHERE search_text MATCH ?1 AND i.project = ?2 AND s.deleted = 0 "
      "AND (?3 IS NULL OR c.agent = ?3) AND (?4 IS NULL OR s.workstream = ?4) "
      "AND (?5 IS NULL OR i.session <> ?5) AND {} ORDER BY search_text.rowid DESC LIMIT ?6",
      seen_by("s", 7, 8));
  const std::optional<Viewer> viewer =
      planted("search-ignores-members") ? std::nullopt : query.viewer;
  Rows rows =
      connection.query(kSql, expression, query.project.value, query.agent, query.workstream,
                       query.but, query.per_list, principal_of(viewer), workstream_of(viewer));
  std::size_t matches = 0;
  for (; rows.next(); ++matches) {
    const std::int64_t id = rows.integer(0);
    if (found->contains(id)) continue;
    FoundItem& one = (*found)[id];
    one.session = {rows.text(1)};
    one.agent = rows.text(2);
    one.workstream = rows.optional_text(3);
    one.item = {.place = {rows.natural(4), static_cast<std::uint32_t>(rows.integer(5))},
                .turn = rows.natural(6),
                .kind = static_cast<SearchKind>(rows.integer(7)),
                .item = rows.text(8),
                .time = rows.integer(9),
                .text = rows.text(10)};
  }
  return matches;
}

}  // namespace

std::vector<SearchLag> search_lag(Connection& connection, const std::optional<ProjectId>& of,
                                  const std::optional<SessionKey>& after, std::size_t limit) {
  const SessionKey from = after.value_or(SessionKey{of.value_or(ProjectId{}), {}});
  Rows rows = connection.query(
      "SELECT s.project, s.id, coalesce(c.through, 0), s.head FROM session s "
      "LEFT JOIN search_session c ON c.project = s.project AND c.session = s.id "
      "WHERE (s.project, s.id) > (?1, ?2) AND (?3 IS NULL OR s.project = ?3) AND s.deleted = 0 "
      "AND s.head > coalesce(c.through, 0) ORDER BY s.project, s.id LIMIT ?4",
      from.project.value, from.session.value,
      of ? std::optional(of->value) : std::optional<std::string>(), limit);
  std::vector<SearchLag> behind;
  while (rows.next())
    behind.push_back({{{rows.text(0)}, {rows.text(1)}}, rows.natural(2), rows.natural(3)});
  return behind;
}

std::vector<SearchLag> search_lag_of(Connection& connection, std::vector<SessionKey> keys) {
  std::ranges::sort(keys);
  std::vector<SearchLag> behind;
  for (SessionKey& key : keys) {
    Rows rows = connection.query(
        "SELECT coalesce(c.through, 0), s.head FROM session s "
        "LEFT JOIN search_session c ON c.project = s.project AND c.session = s.id "
        "WHERE s.project = ? AND s.id = ? AND s.deleted = 0",
        key.project.value, key.session.value);
    if (rows.next() && rows.natural(1) > rows.natural(0))
      behind.push_back({std::move(key), rows.natural(0), rows.natural(1)});
  }
  return behind;
}

void index_items(Connection& connection, const std::vector<SearchUpdate>& updates) {
  for (const SearchUpdate& update : updates) {
    if (!move_position(connection, update)) continue;
    const std::string scope = scope_term(update.key.project);
    for (const SearchItem& item : update.items) add_item(connection, update.key, item, scope);
  }
}

void forget_search(Connection& connection, const SessionKey& key) {
  if (planted("search-keeps-deleted")) return;
  const auto& [project, session] = key;
  connection.run(
      "INSERT INTO search_text (search_text, rowid, terms) "
      "SELECT 'delete', id, terms FROM search_item WHERE project = ? AND session = ?",
      project.value, session.value);
  for (std::string_view table : {"search_item", "search_session"})
    connection.run(fmt::format("DELETE FROM {} WHERE project = ? AND session = ?", table),
                   project.value, session.value);
}

FoundItems find_items(Connection& connection, const SearchQuery& query) {
  FoundItems found;
  std::map<std::int64_t, FoundItem> by_id;
  // No term has a quotation mark.
  const std::string scope = fmt::format("\"{}\"", scope_term(query.project));
  std::string all = scope;
  for (const std::string& term : query.terms) {
    all += fmt::format(" AND \"{}\"", term);
    found.counts.push_back(
        add_matches(connection, query, fmt::format("{} AND \"{}\"", scope, term), &by_id));
  }
  if (query.terms.size() > 1) add_matches(connection, query, all, &by_id);
  found.items.reserve(by_id.size());
  for (auto& [id, item] : by_id) found.items.push_back(std::move(item));
  put_in_order(&found);
  return found;
}

}  // namespace perdure::journal::sqlite
