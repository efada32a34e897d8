// What one durable commit costs on this disk at this moment: the yardstick of every latency.
#include <fmt/format.h>
#include <sqlite3.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/commands.h"
#include "bench/report.h"

namespace perdure::bench {
namespace {

constexpr std::chrono::microseconds kPause(300);

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

void check(int status, sqlite3* database) {
  if (status != SQLITE_OK && status != SQLITE_DONE)
    throw std::runtime_error(sqlite3_errmsg(database));
}

}  // namespace

void commits(const Arguments& arguments) {
  const std::filesystem::path path =
      std::filesystem::path(arguments.text("dir")) / "commits.sqlite";
  const auto remove = [&] {
    for (std::string_view end : {"", "-wal", "-shm"})
      std::filesystem::remove(path.string() + std::string(end));
  };
  remove();
  std::vector<std::int64_t> durations;
  {
    sqlite3* opened = nullptr;
    const int status = sqlite3_open(path.c_str(), &opened);
    std::unique_ptr<sqlite3, Close> database(opened);
    check(status, opened);
    check(sqlite3_exec(opened,
                       "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                       "CREATE TABLE row (id INTEGER PRIMARY KEY, body BLOB);"
                       // A log of full length, begun anew: a server's does not grow either.
                       "WITH RECURSIVE page (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM page "
                       "WHERE n < 1200) INSERT INTO row (body) SELECT zeroblob(4000) FROM page;"
                       "PRAGMA wal_checkpoint(RESTART)",
                       nullptr, nullptr, nullptr),
          opened);
    sqlite3_stmt* prepared = nullptr;
    check(sqlite3_prepare_v2(opened, "INSERT INTO row (body) VALUES (zeroblob(?))", -1, &prepared,
                             nullptr),
          opened);
    std::unique_ptr<sqlite3_stmt, Close> statement(prepared);
    check(sqlite3_bind_int64(prepared, 1, arguments.number("bytes", 512)), opened);
    for (std::int64_t i = 0; i < arguments.number("count"); ++i) {
      // As a server's writer does, which sleeps until there is something to write: a thread that
      // never sleeps waits longer for a busy processor.
      std::this_thread::sleep_for(kPause);
      const std::int64_t started = monotonic_ns();
      check(sqlite3_step(prepared), opened);
      check(sqlite3_reset(prepared), opened);
      durations.push_back(monotonic_ns() - started);
    }
  }
  remove();
  Report().latencies("commit", std::move(durations)).print();
}

}  // namespace perdure::bench
