// One side of a migration: a store as tables of records.
//
// What a table is comes from the database itself, not from a list here: a column that a later
// schema adds is copied without a word, and one that only one engine has is refused. Records come
// in the order of their key, which is the same in every engine: numbers by value, texts and bytes
// by their bytes.
//
// Blocking, for one thread. Each of the writing functions is one commit, durable when it returns;
// it comes after `hold` and is refused where another process has opened the store since. A failure
// leaves what was committed before; whether a commit whose connection broke was made is not known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "journal/marks.h"

namespace perdure::journal::migrate {

/// How a column's values travel: flags as numbers, texts as bytes.
enum class Shape { kNumber, kBytes };

struct Column {
  std::string name;
  Shape shape = Shape::kBytes;
  bool nullable = false;
  bool operator==(const Column&) const = default;
};

struct Table {
  std::string name;
  std::vector<Column> columns;   ///< by name
  std::vector<std::size_t> key;  ///< of the primary key, in its order: indices of columns
  bool operator==(const Table&) const = default;
};

/// NULL, a number, or bytes.
using Value = std::variant<std::monostate, std::int64_t, std::string>;
/// In the order of the table's columns.
using Record = std::vector<Value>;

/// What of a store is not in its tables and must be the same in a copy.
struct Origin {
  std::string secret;             ///< the hashes of blobs depend on it
  std::uint64_t epoch = 0;        ///< no session has a higher one; the next opening must
  std::uint64_t last_outbox = 0;  ///< ids up to here were given to messages, perhaps
};

class Store {
 public:
  virtual ~Store() = default;

  /// For sentences; holds no password.
  virtual std::string name() const = 0;

  /// All that a copy must have, by name. kInternal for a type or a row of `meta` that nobody here
  /// knows how to carry.
  virtual Result<std::vector<Table>> tables() = 0;
  virtual Result<Origin> origin() = 0;
  virtual Result<Marks> marks() = 0;
  /// The next records after the one with that key (null: from the first); none at the end.
  virtual Result<std::vector<Record>> read(const Table& table, const Record* after) = 0;

  /// Makes the store this process's: who has it open writes to it no more.
  virtual Result<void> hold() = 0;
  /// Empties the tables, makes the secret this store's, and marks it as half copied.
  virtual Result<void> begin_copy(const std::vector<Table>& tables, const Mark& mark,
                                  const std::string& secret) = 0;
  virtual Result<void> write(const Table& table, const std::vector<Record>& records) = 0;
  /// Brings the epoch and the outbox's ids to where the source's are, and takes the mark away.
  virtual Result<void> end_copy(const Origin& origin) = 0;
  virtual Result<void> mark_moved(const Mark& mark) = 0;
  /// An error where another process has opened the store since.
  virtual Result<void> check_held() = 0;
};

/// A name as it stands in SQL.
inline std::string sql_name(std::string_view name) {
  return "\"" + std::string(name) + "\"";
}

/// `"a", "b"`, each after `prefix`.
std::string sql_names(const std::vector<std::string>& names, std::string_view prefix = {});
std::vector<std::string> column_names(const Table& table);
std::vector<std::string> key_names(const Table& table);
/// The bytes of its values, roughly: what a chunk is measured by.
std::size_t size_of(const Record& record);
/// "journal (p1, sess_a, 7)": which record it is, for a sentence.
std::string place_of(const Table& table, const Record& record);

}  // namespace perdure::journal::migrate
