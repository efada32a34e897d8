#include "journal/sqlite/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/log.h"

namespace perdure::journal::sqlite {
namespace {

/// How long a statement waits for another process's lock. Nobody else should have one.
constexpr int kBusyMillis = 10'000;

bool is_full(int code, int system_error) {
  if (code == SQLITE_FULL) return true;
  bool no_room = system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;
  return no_room && (code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_SHMSIZE ||
                     code == SQLITE_IOERR_SHMMAP || code == SQLITE_IOERR_TRUNCATE);
}

bool is_fatal(int code) {
  return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC ||
         code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_TRUNCATE;
}

/// Throws what the connection's last failure was, or ends the process.
[[noreturn]] void raise(sqlite3* database, int code, const std::string& path) {
  code = database ? sqlite3_extended_errcode(database) : code;
  int system_error = database ? sqlite3_system_errno(database) : 0;
  std::string what = database ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  if (is_full(code, system_error))
    throw DatabaseError(code, true, fmt::format("the disk that holds {} is full", path));
  if (is_fatal(code))
    log::fatal(
        "A write to the journal did not reach the disk. Ending now, so that nothing is "
        "acknowledged "
        "that could be lost; check the disk and start again.",
        {{"file", path}, {"error", what}, {"code", code}, {"errno", std::strerror(system_error)}});
  if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
    what = fmt::format("the database is damaged ({})", what);
  throw DatabaseError(code, false, fmt::format("{}: {}", path, what));
}

}  // namespace

Error DatabaseError::to_error() const {
  if (disk_full_)
    return {ErrorCode::kUnavailable,
            "The disk is full: nothing new can be stored until there is space again.",
            {},
            "disk_full"};
  if ((code_ & 0xff) == SQLITE_BUSY)
    return {ErrorCode::kUnavailable, fmt::format("The store is locked: {}", what()), {}, "busy"};
  return {ErrorCode::kInternal, fmt::format("The store failed: {}", what())};
}

// ---- rows -----------------------------------------------------------------------------------

Rows::Rows(sqlite3* database, sqlite3_stmt* statement, const std::string& path)
    : database_(database), statement_(statement), path_(path) {}

Rows::Rows(Rows&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      path_(other.path_),
      once_(other.once_) {}

Rows::~Rows() {
  if (!statement_) return;
  if (once_) {
    sqlite3_finalize(statement_);
    return;
  }
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

bool Rows::next() {
  int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  raise(database_, code, path_);
}

std::int64_t Rows::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Rows::text(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return data ? std::string(static_cast<const char*>(data), size) : std::string();
}

std::optional<std::string> Rows::optional_text(int column) const {
  if (is_null(column)) return std::nullopt;
  return text(column);
}

bool Rows::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

void Rows::bind(int index, std::string_view text, Keep keep) {
  // A null pointer would bind NULL; an empty string is not NULL.
  int code =
      sqlite3_bind_text64(statement_, index, text.data() ? text.data() : "", text.size(),
                          keep == Keep::kCopy ? SQLITE_TRANSIENT : SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) raise(database_, code, path_);
}

void Rows::bind(int index, Bytes bytes, Keep keep) {
  int code = sqlite3_bind_blob64(statement_, index, bytes.value.data() ? bytes.value.data() : "",
                                 bytes.value.size(),
                                 keep == Keep::kCopy ? SQLITE_TRANSIENT : SQLITE_STATIC);
  if (code != SQLITE_OK) raise(database_, code, path_);
}

void Rows::bind(int index, const std::optional<std::string>& text, Keep keep) {
  if (text) return bind(index, std::string_view(*text), keep);
  sqlite3_bind_null(statement_, index);
}

void Rows::bind(int index, std::int64_t number, Keep) {
  int code = sqlite3_bind_int64(statement_, index, number);
  if (code != SQLITE_OK) raise(database_, code, path_);
}

void Rows::bind(int index, std::uint64_t number, Keep keep) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
  bind(index, static_cast<std::int64_t>(std::min(number, kLargest)), keep);
}

void Rows::bind(int index, const Cell& cell, Keep keep) {
  if (const auto* number = std::get_if<std::int64_t>(&cell)) return bind(index, *number, keep);
  if (const auto* text = std::get_if<std::string_view>(&cell)) return bind(index, *text, keep);
  if (const auto* bytes = std::get_if<Bytes>(&cell)) return bind(index, *bytes, keep);
  sqlite3_bind_null(statement_, index);
}

// ---- connection -----------------------------------------------------------------------------

Connection::Connection(const std::string& path, Access access, const std::string& vfs)
    : path_(path) {
  int flags = (access == Access::kWrite ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) |
              SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE;
  int code = sqlite3_open_v2(path.c_str(), &database_, flags, vfs.empty() ? nullptr : vfs.c_str());
  if (code != SQLITE_OK) {
    std::string what = database_ ? sqlite3_errmsg(database_) : sqlite3_errstr(code);
    sqlite3_close_v2(database_);
    throw DatabaseError(code, false, fmt::format("{}: {}", path, what));
  }
  sqlite3_busy_timeout(database_, kBusyMillis);
  sqlite3_db_config(database_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // This also ends SQLite's automatic checkpoints (and its pragma for them would end this).
  if (access == Access::kWrite) sqlite3_wal_hook(database_, &Connection::on_commit, this);
}

Connection::~Connection() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close_v2(database_);
}

int Connection::on_commit(void* self, sqlite3*, const char*, int pages) {
  static_cast<Connection*>(self)->log_pages_ = pages;
  return SQLITE_OK;
}

void Connection::execute(const std::string& sql) {
  int code = sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) raise(database_, code, path_);
}

sqlite3_stmt* Connection::prepare(std::string_view sql, unsigned flags) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()), flags,
                                &statement, nullptr);
  if (code != SQLITE_OK) raise(database_, code, path_);
  return statement;
}

Rows Connection::start_once(std::string_view sql) {
  Rows rows(database_, prepare(sql, 0), path_);
  rows.once_ = true;
  return rows;
}

Rows Connection::start(std::string_view sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end())
    found = statements_.emplace(std::string(sql), prepare(sql, SQLITE_PREPARE_PERSISTENT)).first;
  if (sqlite3_stmt_busy(found->second))
    throw std::logic_error(fmt::format("a statement is running already: {}", sql));
  return Rows(database_, found->second, path_);
}

Rows Connection::query_cells(std::string_view sql, std::span<const Cell> cells) {
  Rows rows = start(sql);
  int index = 0;
  for (const Cell& cell : cells) rows.bind(++index, cell, Rows::Keep::kCopy);
  return rows;
}

void Connection::run_cells(std::string_view sql, std::span<const Cell> cells) {
  Rows rows = start(sql);
  int index = 0;
  for (const Cell& cell : cells) rows.bind(++index, cell, Rows::Keep::kBorrow);
  while (rows.next()) {
  }
}

std::int64_t Connection::changes() const {
  return sqlite3_changes64(database_);
}
std::int64_t Connection::last_insert_id() const {
  return sqlite3_last_insert_rowid(database_);
}
std::int64_t Connection::total_changes() const {
  return sqlite3_total_changes64(database_);
}
bool Connection::in_transaction() const {
  return sqlite3_get_autocommit(database_) == 0;
}

CheckpointResult Connection::checkpoint(bool wait_for_readers) {
  CheckpointResult result;
  int mode = wait_for_readers ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
  int code =
      sqlite3_wal_checkpoint_v2(database_, nullptr, mode, &result.log_pages, &result.moved_pages);
  if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY) raise(database_, code, path_);
  return result;
}

// ---- transaction ----------------------------------------------------------------------------

Transaction::Transaction(Connection& connection, Access access) : connection_(connection) {
  connection.run(access == Access::kWrite ? "BEGIN IMMEDIATE" : "BEGIN");
}

Transaction::~Transaction() {
  // Some failures roll back by themselves.
  if (!connection_.in_transaction()) return;
  try {
    connection_.run("ROLLBACK");
  } catch (const DatabaseError& error) {
    log::error("a transaction could not be rolled back", {{"error", error.what()}});
  }
}

void Transaction::commit() {
  connection_.run("COMMIT");
}

}  // namespace perdure::journal::sqlite
