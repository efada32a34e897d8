// The embedded store as one side of a migration: its directory's lock is held from opening to the
// end, so no server runs on it meanwhile.
#pragma once

#include <memory>
#include <string>

#include "base/env.h"
#include "journal/migrate/store.h"
#include "journal/sqlite/data_directory.h"
#include "journal/sqlite/database.h"

namespace perdure::journal::migrate {

class SqliteStore final : public Store {
 public:
  /// kNotFound with `must_exist` where there is no database, and nothing is made then. kConflict:
  /// another process uses the directory, or a newer program wrote the file.
  static Result<std::unique_ptr<SqliteStore>> open(const std::string& directory,
                                                   const std::string& vfs, bool must_exist,
                                                   Env& env);

  std::string name() const override { return name_; }
  Result<std::vector<Table>> tables() override;
  Result<Origin> origin() override;
  Result<Marks> marks() override;
  Result<std::vector<Record>> read(const Table& table, const Record* after) override;
  Result<void> hold() override { return {}; }  // the lock is ours since the opening
  Result<void> begin_copy(const std::vector<Table>& tables, const Mark& mark,
                          const std::string& secret) override;
  Result<void> write(const Table& table, const std::vector<Record>& records) override;
  Result<void> end_copy(const Origin& origin) override;
  Result<void> mark_moved(const Mark& mark) override;
  Result<void> check_held() override { return {}; }

 private:
  SqliteStore(std::unique_ptr<sqlite::DataDirectory> directory,
              std::unique_ptr<sqlite::Connection> connection);

  /// Runs it and gives what it throws as an error.
  template <class Work>
  auto guarded(Work work) -> decltype(work());
  /// `value` as this database stores that column.
  sqlite::Cell cell(const Table& table, std::size_t column, const Value& value) const;
  void put_meta(std::string_view name, const std::string& value);

  std::unique_ptr<sqlite::DataDirectory> directory_;
  std::string name_;
  std::unique_ptr<sqlite::Connection> connection_;
  std::vector<std::string> text_columns_;  // "table.column", sorted: TEXT, not BLOB
};

}  // namespace perdure::journal::migrate
