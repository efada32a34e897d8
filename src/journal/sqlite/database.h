// A thin layer over SQLite's C interface: a connection, a running statement, a transaction.
//
// A connection belongs to one thread at a time. Failures are DatabaseError, thrown here and caught
// at the top of each piece of work (the writer's group, a read), where they become an Error. One
// kind of failure is not thrown: when a write or a sync did not reach the disk, what the operating
// system still holds is unknown, and a later sync would say "fine" about pages it has dropped. Then
// the process ends at once with a sentence (log::fatal). A full disk is not that: it is an error.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace perdure::journal::sqlite {

class DatabaseError : public std::runtime_error {
 public:
  /// `code` is SQLite's extended result code.
  DatabaseError(int code, bool disk_full, const std::string& what)
      : std::runtime_error(what), code_(code), disk_full_(disk_full) {}
  int code() const { return code_; }
  bool disk_full() const { return disk_full_; }
  /// kUnavailable for a full disk (reason "disk_full") and a locked database, else kInternal.
  Error to_error() const;

 private:
  int code_;
  bool disk_full_;
};

/// Bytes for a BLOB column; a plain string binds as TEXT.
struct Bytes {
  std::string_view value;
};

/// A value whose type is known at run time only; NULL, a number, a text, bytes.
using Cell = std::variant<std::monostate, std::int64_t, std::string_view, Bytes>;

/// A running statement. It holds a read transaction open until it is destroyed or exhausted.
class Rows {
 public:
  Rows(sqlite3* database, sqlite3_stmt* statement, const std::string& path);
  ~Rows();
  Rows(Rows&& other) noexcept;
  Rows& operator=(Rows&&) = delete;

  /// Moves to the next row; false at the end.
  bool next();

  std::int64_t integer(int column) const;
  std::uint64_t natural(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  std::string text(int column) const;  ///< of a TEXT or a BLOB
  std::optional<std::string> optional_text(int column) const;
  bool is_null(int column) const;

 private:
  friend class Connection;
  enum class Keep { kCopy, kBorrow };  // borrowed strings must outlive the statement's run
  void bind(int index, std::string_view text, Keep keep);
  void bind(int index, const std::string& text, Keep keep) {
    bind(index, std::string_view(text), keep);
  }
  void bind(int index, Bytes bytes, Keep keep);
  void bind(int index, const std::optional<std::string>& text, Keep keep);
  void bind(int index, std::int64_t number, Keep keep);
  void bind(int index, std::uint64_t number, Keep keep);
  void bind(int index, int number, Keep keep) { bind(index, std::int64_t{number}, keep); }
  void bind(int index, const Cell& cell, Keep keep);

  sqlite3* database_;
  sqlite3_stmt* statement_;
  const std::string& path_;
  bool once_ = false;  ///< the statement ends with this
};

enum class Access { kWrite, kRead };

struct CheckpointResult {
  int log_pages = 0;    ///< in the write-ahead log
  int moved_pages = 0;  ///< of them, already in the database
  bool complete() const { return moved_pages >= log_pages; }
};

class Connection {
 public:
  /// Opens an existing file (an empty one becomes a database). `vfs` empty: SQLite's own.
  Connection(const std::string& path, Access access, const std::string& vfs = {});
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Runs statements that give no rows and take no values: schema and pragmas.
  void execute(const std::string& sql);

  /// Starts one statement with its values. Prepared statements are kept, by text; the same text
  /// must not be running twice.
  template <class... Values>
  Rows query(std::string_view sql, const Values&... values) {
    Rows rows = start(sql);
    int index = 0;
    (rows.bind(++index, values, Rows::Keep::kCopy), ...);
    return rows;
  }

  /// The same for texts of which there are too many to keep.
  template <class... Values>
  Rows query_once(std::string_view sql, const Values&... values) {
    Rows rows = start_once(sql);
    int index = 0;
    (rows.bind(++index, values, Rows::Keep::kCopy), ...);
    return rows;
  }

  /// Runs one statement to its end; how many rows it changed.
  template <class... Values>
  std::int64_t run(std::string_view sql, const Values&... values) {
    Rows rows = start(sql);
    int index = 0;
    (rows.bind(++index, values, Rows::Keep::kBorrow), ...);
    while (rows.next()) {
    }
    return changes();
  }

  /// `query` and `run` with as many values as there are in `cells`.
  Rows query_cells(std::string_view sql, std::span<const Cell> cells);
  void run_cells(std::string_view sql, std::span<const Cell> cells);

  std::int64_t last_insert_id() const;
  std::int64_t total_changes() const;
  bool in_transaction() const;
  const std::string& path() const { return path_; }

  /// Pages in the write-ahead log after this connection's last commit.
  int log_pages() const { return log_pages_; }
  /// Moves pages of the log into the database. `wait_for_readers`: all of them, and empties the
  /// log.
  CheckpointResult checkpoint(bool wait_for_readers);

 private:
  Rows start(std::string_view sql);
  Rows start_once(std::string_view sql);
  sqlite3_stmt* prepare(std::string_view sql, unsigned flags);
  std::int64_t changes() const;
  static int on_commit(void* self, sqlite3*, const char*, int pages);

  struct TextHash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::string path_;
  sqlite3* database_ = nullptr;
  std::unordered_map<std::string, sqlite3_stmt*, TextHash, std::equal_to<>> statements_;
  int log_pages_ = 0;
};

/// Rolls back unless committed.
class Transaction {
 public:
  explicit Transaction(Connection& connection, Access access = Access::kWrite);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Connection& connection_;
};

}  // namespace perdure::journal::sqlite
