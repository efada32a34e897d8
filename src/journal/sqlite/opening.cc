#include "journal/sqlite/opening.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <vector>

#include "base/log.h"
#include "base/planted_bug.h"
#include "journal/sqlite/migrations.h"

namespace perdure::journal::sqlite {
namespace {

void configure(Connection& connection) {
  connection.execute("PRAGMA page_size = 4096");
  {
    Rows rows = connection.query("PRAGMA journal_mode = WAL");
    if (!rows.next() || rows.text(0) != "wal")
      throw DatabaseError(SQLITE_CANTOPEN, false,
                          fmt::format("{}: the file system does not support a write-ahead log "
                                      "(shared memory is missing; is it a network one?)",
                                      connection.path()));
  }
  // FULL: a commit returns after its pages in the log were flushed.
  connection.execute(planted("weak-sync") ? "PRAGMA synchronous = NORMAL"
                                          : "PRAGMA synchronous = FULL");
  connection.execute("PRAGMA temp_store = MEMORY");
  connection.execute("PRAGMA secure_delete = ON");
  connection.execute("PRAGMA cache_size = -16384");  // KiB
}

/// SQLite's unix files write at most 128 KiB at a time.
constexpr std::size_t kLogPiece = 64 << 10;

/// Writes the log over itself and flushes it, before anybody reads it. What a process before us
/// wrote may be seen and yet not be on the disk: after a flush that failed the operating system
/// forgets what it was to write, and says "done" to the next one. A log that goes on behind such
/// pages is cut off there when the power is lost, with all that was acknowledged behind them; and a
/// checkpoint that trusts them damages the database.
void write_log_again(const std::string& database, const std::string& vfs_name) {
  if (planted("trust-the-log")) return;
  const std::string path = database + "-wal";
  sqlite3_vfs* vfs = sqlite3_vfs_find(vfs_name.empty() ? nullptr : vfs_name.c_str());
  std::vector<std::max_align_t> memory(
      static_cast<std::size_t>(vfs->szOsFile) / sizeof(std::max_align_t) + 1);
  auto* file = reinterpret_cast<sqlite3_file*>(memory.data());
  if (vfs->xOpen(vfs, path.c_str(), file, SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE, nullptr) !=
      SQLITE_OK)
    return;  // there is none
  const sqlite3_io_methods& methods = *file->pMethods;
  sqlite3_int64 size = 0;
  std::string piece(kLogPiece, '\0');
  int code = methods.xFileSize(file, &size);
  for (sqlite3_int64 at = 0; code == SQLITE_OK && at < size;) {
    const int length =
        static_cast<int>(std::min(size - at, static_cast<sqlite3_int64>(piece.size())));
    code = methods.xRead(file, piece.data(), length, at);
    if (code == SQLITE_OK) code = methods.xWrite(file, piece.data(), length, at);
    at += length;
  }
  if (code == SQLITE_OK) code = methods.xSync(file, SQLITE_SYNC_NORMAL);
  methods.xClose(file);
  if (code != SQLITE_OK)
    throw DatabaseError(code, code == SQLITE_FULL,
                        fmt::format("{}: {}", path, sqlite3_errstr(code)));
}

StoreIdentity raise_epoch(Connection& connection, Env& env) {
  Transaction transaction(connection);
  std::string secret(32, '\0');
  env.random_bytes({reinterpret_cast<std::uint8_t*>(secret.data()), secret.size()});
  connection.run("INSERT INTO meta VALUES ('secret', ?) ON CONFLICT DO NOTHING", Bytes{secret});
  connection.run(
      "INSERT INTO meta VALUES ('epoch', 1) ON CONFLICT DO UPDATE SET value = value + 1");
  StoreIdentity identity;
  {
    Rows rows = connection.query("SELECT value FROM meta WHERE name = 'epoch'");
    rows.next();
    identity.epoch = rows.natural(0);
  }
  {
    Rows rows = connection.query("SELECT value FROM meta WHERE name = 'secret'");
    rows.next();
    identity.secret = rows.text(0);
  }
  transaction.commit();
  return identity;
}

Result<OpenedStore> try_open(DataDirectory& directory, const std::string& vfs, Env& env) {
  OpenedStore store;
  TRY(connection, open_exclusively(directory, vfs, env.now()));
  store.connection = std::move(connection);
  TRY_VOID(refuse_marked(read_marks(*store.connection), name_of(directory)));
  store.identity = raise_epoch(*store.connection, env);
  directory.sync();  // the log's name, too
  return store;
}

}  // namespace

std::string name_of(const DataDirectory& directory) {
  std::error_code ignored;
  const auto path = std::filesystem::absolute(directory.path(), ignored);
  return fmt::format("the store in {}", path.empty() ? directory.path() : path.string());
}

Result<std::unique_ptr<Connection>> open_exclusively(DataDirectory& directory,
                                                     const std::string& vfs, UnixMillis now) {
  write_log_again(directory.database_path(), vfs);
  auto connection = std::make_unique<Connection>(directory.database_path(), Access::kWrite, vfs);
  configure(*connection);
  TRY_VOID(migrate(*connection, now));
  return connection;
}

Marks read_marks(Connection& connection) {
  Marks marks;
  Rows rows =
      connection.query("SELECT name, value FROM meta WHERE name IN (?, ?)", kMigrating, kMovedTo);
  while (rows.next())
    (rows.text(0) == kMigrating ? marks.migrating : marks.moved_to) = mark_of(rows.text(1));
  return marks;
}

Result<OpenedStore> open_store(DataDirectory& directory, const std::string& vfs, Env& env) {
  bool reserve_is_whole = directory.restore_reserve();
  if (!reserve_is_whole)
    log::warn("there is little disk space left", {{"file", directory.database_path()}});
  for (;;) {
    try {
      TRY(store, try_open(directory, vfs, env));
      store.disk_full = !reserve_is_whole;
      return store;
    } catch (const DatabaseError& error) {
      if (!error.disk_full() || !directory.release_reserve())
        return std::unexpected(error.to_error());
      reserve_is_whole = false;
    }
  }
}

}  // namespace perdure::journal::sqlite
