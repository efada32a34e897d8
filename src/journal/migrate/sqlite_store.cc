#include "journal/migrate/sqlite_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "journal/limits.h"
#include "journal/migrate/limits.h"
#include "journal/sqlite/opening.h"

namespace perdure::journal::migrate {
namespace {

using sqlite::Bytes;
using sqlite::Cell;
using sqlite::DatabaseError;
using sqlite::Rows;
using sqlite::Transaction;

/// What is no table of the store's content: schema_version is the file's own, meta is `origin`, and
/// the search index is made anew from the journal.
constexpr std::string_view kColumns =
    "SELECT t.name, c.name, c.type, c.\"notnull\", c.pk FROM sqlite_schema t "
    "JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' "
    "AND t.name NOT IN ('meta', 'schema_version') AND t.name NOT LIKE 'search\\_%' ESCAPE '\\' "
    "ORDER BY t.name, c.name";

Value value_of(const Rows& rows, int index, Shape shape) {
  if (rows.is_null(index)) return std::monostate{};
  if (shape == Shape::kNumber) return rows.integer(index);
  return rows.text(index);
}

std::string placeholders(std::size_t count) {
  std::string list = "?";
  for (std::size_t i = 1; i < count; ++i) list += ", ?";
  return list;
}

}  // namespace

template <class Work>
auto SqliteStore::guarded(Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const DatabaseError& error) {
    return std::unexpected(error.to_error());
  }
}

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& directory,
                                                       const std::string& vfs, bool must_exist,
                                                       Env& env) {
  const std::filesystem::path file = std::filesystem::path(directory) / "perdure.db";
  std::error_code missing;
  const auto size = std::filesystem::file_size(file, missing);
  if (must_exist && (missing || size == 0))
    return fail(
        ErrorCode::kNotFound,
        fmt::format("There is no store in {}: say where it is with --data-dir.", directory));
  TRY(held, sqlite::DataDirectory::open(directory));
  try {
    TRY(connection, sqlite::open_exclusively(*held, vfs, env.now()));
    held->sync();
    return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(held), std::move(connection)));
  } catch (const DatabaseError& error) {
    return std::unexpected(error.to_error());
  }
}

SqliteStore::SqliteStore(std::unique_ptr<sqlite::DataDirectory> directory,
                         std::unique_ptr<sqlite::Connection> connection)
    : directory_(std::move(directory)),
      name_(sqlite::name_of(*directory_)),
      connection_(std::move(connection)) {}

Result<std::vector<Table>> SqliteStore::tables() {
  return guarded([&]() -> Result<std::vector<Table>> {
    std::vector<Table> tables;
    std::vector<std::pair<std::int64_t, std::size_t>> key;  // place in it, column
    text_columns_.clear();
    const auto end_table = [&] {
      std::ranges::sort(key);
      for (const auto& [place, column] : key) tables.back().key.push_back(column);
      key.clear();
    };
    Rows rows = connection_->query(kColumns);
    while (rows.next()) {
      if (tables.empty() || tables.back().name != rows.text(0)) {
        if (!tables.empty()) end_table();
        tables.push_back({.name = rows.text(0), .columns = {}, .key = {}});
      }
      Table& table = tables.back();
      const std::string type = rows.text(2);
      if (type != "INTEGER" && type != "TEXT" && type != "BLOB")
        return fail(ErrorCode::kInternal, fmt::format("{}: the column {}.{} has the type {}", name_,
                                                      table.name, rows.text(1), type));
      const bool is_key = rows.integer(4) > 0;
      if (is_key) key.emplace_back(rows.integer(4), table.columns.size());
      if (type == "TEXT") text_columns_.push_back(table.name + "." + rows.text(1));
      table.columns.push_back({.name = rows.text(1),
                               .shape = type == "INTEGER" ? Shape::kNumber : Shape::kBytes,
                               .nullable = !is_key && rows.integer(3) == 0});
    }
    if (!tables.empty()) end_table();
    std::ranges::sort(text_columns_);
    Rows strange = connection_->query(
        "SELECT name FROM meta WHERE name NOT IN ('epoch', 'secret', 'space_probe', ?, ?)",
        kMigrating, kMovedTo);
    if (strange.next())
      return fail(ErrorCode::kInternal, fmt::format("{}: nothing is known of the row '{}' of meta",
                                                    name_, strange.text(0)));
    return tables;
  });
}

Result<Origin> SqliteStore::origin() {
  return guarded([&]() -> Result<Origin> {
    Origin origin;
    Rows rows =
        connection_->query("SELECT name, value FROM meta WHERE name IN ('epoch', 'secret')");
    while (rows.next()) {
      if (rows.text(0) == "secret")
        origin.secret = rows.text(1);
      else
        origin.epoch = rows.natural(1);
    }
    Rows given = connection_->query("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'");
    if (given.next()) origin.last_outbox = given.natural(0);
    return origin;
  });
}

Result<Marks> SqliteStore::marks() {
  return guarded([&]() -> Result<Marks> { return sqlite::read_marks(*connection_); });
}

Result<std::vector<Record>> SqliteStore::read(const Table& table, const Record* after) {
  return guarded([&]() -> Result<std::vector<Record>> {
    const std::string key = sql_names(key_names(table));
    std::vector<Cell> cells;
    std::string condition;
    if (after) {
      condition = fmt::format(" WHERE ({}) > ({})", key, placeholders(table.key.size()));
      for (std::size_t column : table.key) cells.push_back(cell(table, column, (*after)[column]));
    }
    std::vector<Record> records;
    std::size_t bytes = 0;
    Rows rows = connection_->query_cells(
        fmt::format("SELECT {} FROM {}{} ORDER BY {} LIMIT {}", sql_names(column_names(table)),
                    sql_name(table.name), condition, key, kChunkRows),
        cells);
    while (bytes < kChunkBytes && rows.next()) {
      Record record;
      record.reserve(table.columns.size());
      for (const Column& column : table.columns)
        record.push_back(value_of(rows, static_cast<int>(record.size()), column.shape));
      bytes += size_of(record);
      records.push_back(std::move(record));
    }
    return records;
  });
}

Cell SqliteStore::cell(const Table& table, std::size_t column, const Value& value) const {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  const auto* bytes = std::get_if<std::string>(&value);
  if (!bytes) return std::monostate{};
  if (std::ranges::binary_search(text_columns_, table.name + "." + table.columns[column].name))
    return std::string_view(*bytes);
  return Bytes{*bytes};
}

void SqliteStore::put_meta(std::string_view name, const std::string& value) {
  connection_->run(
      "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", name,
      Bytes{value});
}

Result<void> SqliteStore::begin_copy(const std::vector<Table>& tables, const Mark& mark,
                                     const std::string& secret) {
  return guarded([&]() -> Result<void> {
    Transaction transaction(*connection_);
    for (const Table& table : tables)
      connection_->run(fmt::format("DELETE FROM {}", sql_name(table.name)));
    put_meta("secret", secret);
    put_meta(kMigrating, to_value(mark));
    transaction.commit();
    connection_->checkpoint(true);
    return {};
  });
}

Result<void> SqliteStore::write(const Table& table, const std::vector<Record>& records) {
  return guarded([&]() -> Result<void> {
    const std::string insert =
        fmt::format("INSERT INTO {} ({}) VALUES ({})", sql_name(table.name),
                    sql_names(column_names(table)), placeholders(table.columns.size()));
    Transaction transaction(*connection_);
    for (const Record& record : records) {
      std::vector<Cell> cells;
      cells.reserve(record.size());
      for (const Value& value : record) cells.push_back(cell(table, cells.size(), value));
      connection_->run_cells(insert, cells);
    }
    transaction.commit();
    // The log is ours alone: emptied now and then, it stays small.
    if (connection_->log_pages() > kCheckpointPages) connection_->checkpoint(true);
    return {};
  });
}

Result<void> SqliteStore::end_copy(const Origin& origin) {
  return guarded([&]() -> Result<void> {
    Transaction transaction(*connection_);
    connection_->run(
        "INSERT INTO meta VALUES ('epoch', ?) "
        "ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
        origin.epoch);
    // No id is given twice, whether or not its message is still there.
    connection_->run("DELETE FROM sqlite_sequence WHERE name = 'outbox'");
    connection_->run("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", origin.last_outbox);
    connection_->run("DELETE FROM meta WHERE name = ?", kMigrating);
    transaction.commit();
    return {};
  });
}

Result<void> SqliteStore::mark_moved(const Mark& mark) {
  return guarded([&]() -> Result<void> {
    Transaction transaction(*connection_);
    put_meta(kMovedTo, to_value(mark));
    transaction.commit();
    return {};
  });
}

}  // namespace perdure::journal::migrate
