#include "journal/migrate/postgres_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "journal/migrate/limits.h"

namespace perdure::journal::migrate {
namespace {

using postgres::Rows;
using postgres::Statement;

/// The tables beside ours, with their types and keys. Not those that an extension brings; another
/// program's are met by the comparison with the other store. `opening`, `shard`, `changes` and
/// `schema_version` are the database's own, `meta` is `origin`; the columns left out are what many
/// nodes need, and no other engine has. The search index is made anew from the journal.
constexpr const char* kColumns =
    "SELECT c.relname::text, a.attname::text, t.typname::text, a.attnotnull, "
    "coalesce(array_position(string_to_array(i.indkey::text, ' ')::int[], a.attnum::int), 0) "
    "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
    "AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid "
    "LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
    "WHERE c.relkind IN ('r', 'p') AND c.relnamespace = "
    "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('meta')) "
    "AND c.relname NOT IN ('meta', 'opening', 'schema_version', 'shard', 'changes') "
    "AND NOT starts_with(c.relname::text, 'search_') "
    "AND (c.relname, a.attname) NOT IN "
    "(('session', 'shard'), ('timer', 'shard'), ('blob', 'touched')) "
    "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass "
    "AND d.objid = c.oid AND d.deptype = 'e') "
    "ORDER BY c.relname::text COLLATE \"C\", a.attname::text COLLATE \"C\"";

/// The column that names the session of a row whose shard is kept with it; empty: none is.
std::string_view sharded_by(std::string_view table) {
  if (table == "session") return "id";
  if (table == "timer") return "session";
  return {};
}

bool is_number(std::string_view type) {
  return type == "int2" || type == "int4" || type == "int8" || type == "bool";
}

std::string put_meta(Statement& statement, std::string_view name, const std::string& value) {
  return fmt::format(
      "INSERT INTO meta VALUES ('{}', {}) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      name, statement.bytes(value));
}

}  // namespace

Result<std::unique_ptr<PostgresStore>> PostgresStore::open(const std::string& url,
                                                           postgres::Durability durability,
                                                           bool must_exist,
                                                           postgres::Interrupt& interrupt,
                                                           Env& env) {
  TRY(target, postgres::Target::parse(url));
  std::unique_ptr<PostgresStore> store(
      new PostgresStore(std::make_unique<postgres::Target>(std::move(target)), durability, env));
  TRY(connection,
      postgres::open_database(*store->target_, interrupt, durability, must_exist, env.now()));
  store->connection_ = std::move(connection);
  return store;
}

Result<void> PostgresStore::hold() {
  TRY(epoch, postgres::open_exclusively(*connection_, env_));
  epoch_ = epoch;
  return {};
}

Error PostgresStore::error_of(const postgres::Failure& failure) const {
  if (failure.sqlstate == "22012")
    return {ErrorCode::kConflict,
            fmt::format("{} has been opened by another process since, or its settings do not keep "
                        "what it commits any more.",
                        name()),
            {},
            {}};
  Error error = failure.to_error();
  error.message = fmt::format("{}: {}.", name(), failure.message);
  return error;
}

Result<Rows> PostgresStore::ask(Statement question) {
  auto answers = connection_->run({&question, 1}, kChunkMs);
  if (!answers) return std::unexpected(error_of(answers.error()));
  return std::move(answers->front());
}

Result<void> PostgresStore::commit(std::vector<Statement> statements) {
  std::vector<Statement> all;
  all.reserve(statements.size() + 3);
  all.emplace_back("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  all.push_back(postgres::still_held(epoch_, durability_));
  for (Statement& statement : statements) all.push_back(std::move(statement));
  all.emplace_back("COMMIT");
  auto answers = connection_->run(all, kChunkMs);
  if (!answers) return std::unexpected(error_of(answers.error()));
  if (connection_->warned() && durability_ == postgres::Durability::kFull)
    return fail(ErrorCode::kUnavailable,
                fmt::format("{}: a standby did not confirm a commit.", name()));
  return {};
}

const std::string& PostgresStore::type_of(const Table& table, const Column& column) const {
  return types_.at(table.name + "." + column.name);
}

Result<std::vector<Table>> PostgresStore::tables() {
  TRY(rows, ask(Statement(kColumns)));
  std::vector<Table> tables;
  std::vector<std::pair<std::int64_t, std::size_t>> key;  // place in it, column
  types_.clear();
  for (int row = 0; row < rows.count(); ++row) {
    if (tables.empty() || tables.back().name != rows.text(row, 0))
      tables.push_back({.name = rows.text(row, 0), .columns = {}, .key = {}});
    Table& table = tables.back();
    const std::string column = rows.text(row, 1), type = rows.text(row, 2);
    if (!is_number(type) && type != "text" && type != "bytea")
      return fail(ErrorCode::kInternal, fmt::format("{}: the column {}.{} has the type {}", name(),
                                                    table.name, column, type));
    types_.emplace(table.name + "." + column, type);
    if (rows.integer(row, 4) > 0) key.emplace_back(rows.integer(row, 4), table.columns.size());
    table.columns.push_back({.name = column,
                             .shape = is_number(type) ? Shape::kNumber : Shape::kBytes,
                             .nullable = !rows.flag(row, 3)});
    const bool last = row + 1 == rows.count() || rows.text(row + 1, 0) != table.name;
    if (!last) continue;
    std::ranges::sort(key);
    for (const auto& [place, index] : key) table.key.push_back(index);
    key.clear();
  }
  TRY(strange, ask(Statement(fmt::format(
                   "SELECT name FROM meta WHERE name NOT IN ('secret', '{}', '{}') LIMIT 1",
                   kMigrating, kMovedTo))));
  if (!strange.empty())
    return fail(ErrorCode::kInternal, fmt::format("{}: nothing is known of the row '{}' of meta",
                                                  name(), strange.text(0, 0)));
  return tables;
}

Result<Origin> PostgresStore::origin() {
  TRY(rows, ask(Statement("SELECT (SELECT value FROM meta WHERE name = 'secret'), "
                          "greatest((SELECT coalesce(max(epoch), 0) FROM opening), "
                          "(SELECT max(epoch) FROM shard))")));
  const std::uint64_t epoch = rows.natural(0, 1);
  // Of ids that an opening gives, the upper half is its epoch.
  return Origin{.secret = rows.text(0, 0), .epoch = epoch, .last_outbox = ((epoch + 1) << 32) - 1};
}

Result<std::vector<Record>> PostgresStore::read(const Table& table, const Record* after) {
  Statement page;
  const std::string key = sql_names(key_names(table));
  std::string condition;
  if (after) {
    std::string values;
    for (std::size_t index : table.key) {
      if (!values.empty()) values += ", ";
      const Column& column = table.columns[index];
      const Value& value = (*after)[index];
      if (const auto* number = std::get_if<std::int64_t>(&value))
        values += page.number(*number);
      else if (type_of(table, column) == "text")
        values += page.text(std::get<std::string>(value));
      else
        values += page.bytes(std::get<std::string>(value));
    }
    condition = fmt::format(" WHERE ({}) > ({})", key, values);
  }
  // Sizes are known without reading the values, so the database sends no more than a chunk.
  std::string size = "8";
  for (const Column& column : table.columns)
    if (column.shape == Shape::kBytes)
      size += fmt::format(" + coalesce(octet_length({})::bigint, 0)", sql_name(column.name));
  const std::string columns = sql_names(column_names(table));
  page.sql = fmt::format(
      "SELECT {0} FROM (SELECT {0}, sum(size_) OVER (ORDER BY {1}) - size_ AS before_ "
      "FROM (SELECT {0}, {2} AS size_ FROM {3}{4} ORDER BY {1} LIMIT {5}) AS page_) AS sized_ "
      "WHERE before_ < {6} ORDER BY {1}",
      columns, key, size, sql_name(table.name), condition, kChunkRows, kChunkBytes);
  TRY(rows, ask(std::move(page)));
  std::vector<Record> records(static_cast<std::size_t>(rows.count()));
  for (int row = 0; row < rows.count(); ++row) {
    Record& record = records[static_cast<std::size_t>(row)];
    record.reserve(table.columns.size());
    for (const Column& column : table.columns) {
      const int at = static_cast<int>(record.size());
      if (rows.is_null(row, at))
        record.emplace_back();
      else if (type_of(table, column) == "bool")
        record.emplace_back(std::int64_t{rows.flag(row, at)});
      else if (column.shape == Shape::kNumber)
        record.emplace_back(rows.integer(row, at));
      else
        record.emplace_back(rows.text(row, at));
    }
  }
  return records;
}

Result<void> PostgresStore::begin_copy(const std::vector<Table>& tables, const Mark& mark,
                                       const std::string& secret) {
  std::vector<std::string> names;
  names.reserve(tables.size());
  for (const Table& table : tables) names.push_back(table.name);
  std::vector<Statement> statements(3);
  statements[0].sql = fmt::format("TRUNCATE {}", sql_names(names));
  statements[1].sql = put_meta(statements[1], "secret", secret);
  statements[2].sql = put_meta(statements[2], kMigrating, to_value(mark));
  return commit(std::move(statements));
}

Result<void> PostgresStore::write(const Table& table, const std::vector<Record>& records) {
  std::vector<Statement> statements(1);
  Statement& insert = statements.front();
  std::string arrays, values;
  for (std::size_t index = 0; index < table.columns.size(); ++index) {
    const Column& column = table.columns[index];
    const std::string& type = type_of(table, column);
    const std::string separator = index == 0 ? "" : ", ";
    const std::string value = "v." + sql_name(column.name);
    if (column.shape == Shape::kNumber) {
      std::vector<std::optional<std::int64_t>> numbers;
      numbers.reserve(records.size());
      for (const Record& record : records) {
        const auto* number = std::get_if<std::int64_t>(&record[index]);
        numbers.push_back(number ? std::optional(*number) : std::nullopt);
      }
      arrays += separator + insert.numbers_or_null(numbers);
      values += separator + value + (type == "bool" ? " <> 0" : "");
      continue;
    }
    std::vector<std::optional<std::string_view>> strings;
    strings.reserve(records.size());
    for (const Record& record : records) {
      const auto* bytes = std::get_if<std::string>(&record[index]);
      if (bytes && type == "text" && (bytes->contains('\0') || !is_valid_utf8(*bytes)))
        return fail(
            ErrorCode::kConflict,
            fmt::format("{}: {} is not UTF-8 text, which is all that PostgreSQL keeps there.",
                        place_of(table, record), column.name));
      strings.push_back(bytes ? std::optional(std::string_view(*bytes)) : std::nullopt);
    }
    arrays += separator + insert.byte_strings(strings);
    values += separator + (type == "text" ? fmt::format("convert_from({}, 'UTF8')", value) : value);
  }
  std::string columns = sql_names(column_names(table));
  const std::string given = columns;
  if (const auto session = sharded_by(table.name); !session.empty()) {
    columns += ", shard";
    values += fmt::format(", get_byte(sha256(v.project || '\\x0a'::bytea || v.{}), 0)",
                          sql_name(session));
  }
  insert.sql = fmt::format("INSERT INTO {} ({}) SELECT {} FROM unnest({}) AS v({})",
                           sql_name(table.name), columns, values, arrays, given);
  return commit(std::move(statements));
}

Result<void> PostgresStore::end_copy(const Origin& origin) {
  // The next opening is above every epoch of a session, and its ids above every id of a message.
  const std::uint64_t epoch = std::max(origin.epoch, origin.last_outbox >> 32);
  std::vector<Statement> statements(2);
  if (epoch > epoch_) {
    Statement& raise = statements[0];
    raise.sql = fmt::format(
        "INSERT INTO opening (epoch, opened, superseded) "
        "SELECT {}, opened, true FROM opening WHERE epoch = {} ON CONFLICT DO NOTHING",
        raise.number(epoch), raise.number(epoch_));
  } else {
    statements.erase(statements.begin());
  }
  statements.back().sql = fmt::format("DELETE FROM meta WHERE name = '{}'", kMigrating);
  return commit(std::move(statements));
}

Result<void> PostgresStore::mark_moved(const Mark& mark) {
  std::vector<Statement> statements(1);
  statements[0].sql = put_meta(statements[0], kMovedTo, to_value(mark));
  return commit(std::move(statements));
}

}  // namespace perdure::journal::migrate
