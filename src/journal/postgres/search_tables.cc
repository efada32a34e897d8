#include "journal/postgres/search_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "journal/postgres/viewer_sql.h"
#include "journal/search_terms.h"

namespace perdure::journal::postgres {

Statement IndexItems::statement(UnixMillis) const {
  std::vector<std::string> projects, sessions, agents;
  std::vector<std::int64_t> froms, throughs;
  std::vector<std::int64_t> of, seqs, subs, turns, kinds, times;
  std::vector<std::string> items, terms;
  std::vector<std::optional<std::string_view>> texts;
  for (const SearchUpdate& update : updates_) {
    projects.push_back(update.key.project.value);
    sessions.push_back(update.key.session.value);
    agents.push_back(update.agent);
    froms.push_back(static_cast<std::int64_t>(update.from));
    throughs.push_back(static_cast<std::int64_t>(update.through));
    const std::string scope = scope_term(update.key.project);
    for (const SearchItem& item : update.items) {
      of.push_back(static_cast<std::int64_t>(projects.size()));
      seqs.push_back(static_cast<std::int64_t>(item.place.seq));
      subs.push_back(item.place.sub);
      turns.push_back(static_cast<std::int64_t>(item.turn));
      kinds.push_back(static_cast<std::int64_t>(item.kind));
      times.push_back(item.time);
      items.push_back(item.item);
      texts.emplace_back(item.text);
      terms.push_back(fmt::format("{} {}", scope, fmt::join(indexed_terms(item.text), " ")));
    }
  }
  Statement q;
  std::string updates = q.texts(projects);
  for (const std::string& array :
       {q.texts(sessions), q.texts(agents), q.numbers(froms), q.numbers(throughs)})
    updates += ", " + array;
  std::string rows = q.numbers(of);
  for (const std::string& array :
       {q.numbers(seqs), q.numbers(subs), q.numbers(turns), q.numbers(kinds), q.texts(items),
        q.numbers(times), q.byte_strings(texts), q.texts(terms)})
    rows += ", " + array;
  // A row that is there without `from` being 0 is no conflict but a position that has moved on.
  q.sql = with_outcome(
      fmt::format(
          "WITH wanted AS (SELECT w.* FROM unnest({0}) WITH ORDINALITY "
          "AS w (project, session, agent, begins, through, place) "
          "JOIN session s ON s.project = w.project AND s.id = w.session AND NOT s.deleted), "
          "begun AS (INSERT INTO search_session AS c (project, session, agent, through) "
          "SELECT project, session, agent, through FROM wanted WHERE begins = 0 "
          "ORDER BY project, session ON CONFLICT DO NOTHING RETURNING c.project, c.session), "
          "moved AS (UPDATE search_session c SET through = w.through FROM wanted w "
          "WHERE w.begins > 0 AND c.project = w.project AND c.session = w.session "
          "AND c.through = w.begins RETURNING c.project, c.session), "
          "made AS (INSERT INTO search_item "
          "(project, session, seq, sub, turn, kind, item, time, text, terms) "
          "SELECT w.project, w.session, i.seq, i.sub, i.turn, i.kind::integer, i.item, i.time, "
          "i.text, array_to_tsvector(string_to_array(i.terms, ' ')) "
          "FROM (SELECT * FROM begun UNION ALL SELECT * FROM moved) done "
          "JOIN wanted w ON w.project = done.project AND w.session = done.session "
          "JOIN unnest({1}) WITH ORDINALITY "
          "AS i (of_update, seq, sub, turn, kind, item, time, text, terms, place) "
          "ON i.of_update = w.place ORDER BY i.place)",
          updates, rows),
      "'done'");
  return q;
}

Result<bool> IndexItems::answer(std::string_view, UnixMillis, StoreStats& counted) const {
  counted.commits = 1;
  return true;
}

namespace {

Result<std::vector<SearchLag>> lags_of(const Answers& answers) {
  return all(
      answers[0], +[](const Rows& rows, int row) {
        return SearchLag{
            {{rows.text(row, 0)}, {rows.text(row, 1)}}, rows.natural(row, 2), rows.natural(row, 3)};
      });
}

}  // namespace

Query<std::vector<SearchLag>> search_lag(std::optional<ProjectId> of,
                                         std::optional<SessionKey> after, std::size_t limit) {
  Query<std::vector<SearchLag>> query;
  Statement& q = query.statements.emplace_back();
  const SessionKey from = after.value_or(SessionKey{});
  std::string project = q.text(from.project.value), session = q.text(from.session.value);
  std::string of_project = of ? fmt::format("AND s.project = {}", q.text(of->value)) : "";
  q.sql = fmt::format(
      "SELECT s.project, s.id, coalesce(c.through, 0), s.head FROM session s "
      "LEFT JOIN search_session c ON c.project = s.project AND c.session = s.id "
      "WHERE (s.project, s.id) > ({}, {}) {} AND NOT s.deleted "
      "AND s.head > coalesce(c.through, 0) ORDER BY s.project, s.id LIMIT {}",
      project, session, of_project, q.number(std::uint64_t{limit}));
  query.answer = lags_of;
  return query;
}

Query<std::vector<SearchLag>> search_lag_of(const std::vector<SessionKey>& keys) {
  Query<std::vector<SearchLag>> query;
  Statement& q = query.statements.emplace_back();
  std::vector<std::string> projects, sessions;
  for (const SessionKey& key : keys) {
    projects.push_back(key.project.value);
    sessions.push_back(key.session.value);
  }
  std::string from = q.texts(projects), of = q.texts(sessions);
  q.sql = fmt::format(
      "SELECT s.project, s.id, coalesce(c.through, 0), s.head "
      "FROM unnest({}, {}) AS w (project, id) "
      "JOIN session s ON s.project = w.project AND s.id = w.id AND NOT s.deleted "
      "LEFT JOIN search_session c ON c.project = s.project AND c.session = s.id "
      "WHERE s.head > coalesce(c.through, 0) ORDER BY s.project, s.id",
      from, of);
  query.answer = lags_of;
  return query;
}

namespace {

/// Items that match, the newest first; no term has a quotation mark.
Statement matches(const SearchQuery& wanted, const std::string& expression) {
  Statement q;
  std::string terms = q.text(expression), project = q.text(wanted.project.value);
  std::string more;
  if (wanted.agent) more += fmt::format(" AND c.agent = {}", q.text(*wanted.agent));
  if (wanted.workstream) more += fmt::format(" AND s.workstream = {}", q.text(*wanted.workstream));
  if (wanted.but) more += fmt::format(" AND m.session <> {}", q.text(*wanted.but));
  more += fmt::format(" AND {}", seen_by(&q, "s", wanted.viewer));
  // First what the index of terms names: walking back over all items until enough match would seem
  // cheap to the planner, and is not where few do.
  q.sql = fmt::format(
      "WITH matching AS MATERIALIZED (SELECT id, project, session FROM search_item "
      "WHERE terms @@ {}::tsquery AND project = {}), "
      "newest AS (SELECT m.id, c.agent, s.workstream FROM matching m "
      "JOIN search_session c ON c.project = m.project AND c.session = m.session "
      "JOIN session s ON s.project = m.project AND s.id = m.session AND NOT s.deleted "
      "WHERE true{} ORDER BY m.id DESC LIMIT {}) "
      "SELECT i.id, i.session, n.agent, n.workstream, i.seq, i.sub, i.turn, i.kind, i.item, "
      "i.time, i.text FROM newest n JOIN search_item i ON i.id = n.id",
      terms, project, more, q.number(std::uint64_t{wanted.per_list}));
  return q;
}

}  // namespace

Query<FoundItems> find_items(SearchQuery wanted) {
  Query<FoundItems> query;
  const std::string scope = fmt::format("'{}'", scope_term(wanted.project));
  std::string every = scope;
  for (const std::string& term : wanted.terms) {
    every += fmt::format(" & '{}'", term);
    query.statements.push_back(matches(wanted, fmt::format("{} & '{}'", scope, term)));
  }
  if (wanted.terms.size() > 1) query.statements.push_back(matches(wanted, every));
  query.answer = [terms = wanted.terms.size()](const Answers& answers) -> Result<FoundItems> {
    FoundItems found;
    std::map<std::int64_t, FoundItem> by_id;
    for (std::size_t list = 0; list < answers.size(); ++list) {
      const Rows& rows = answers[list];
      if (list < terms) found.counts.push_back(static_cast<std::size_t>(rows.count()));
      for (int row = 0; row < rows.count(); ++row) {
        auto [at, added] = by_id.try_emplace(rows.integer(row, 0));
        if (!added) continue;
        at->second = {.session = {rows.text(row, 1)},
                      .agent = rows.text(row, 2),
                      .workstream = rows.optional_text(row, 3),
                      .item = {.place = {rows.natural(row, 4),
                                         static_cast<std::uint32_t>(rows.integer(row, 5))},
                               .turn = rows.natural(row, 6),
                               .kind = static_cast<SearchKind>(rows.integer(row, 7)),
                               .item = rows.text(row, 8),
                               .time = rows.integer(row, 9),
                               .text = rows.text(row, 10)}};
      }
    }
    found.items.reserve(by_id.size());
    for (auto& [id, item] : by_id) found.items.push_back(std::move(item));
    put_in_order(&found);
    return found;
  };
  return query;
}

}  // namespace perdure::journal::postgres
