// What the journal's tests share: a store of either kind over a temporary directory, a loop to run
// its coroutines on, and short ways to make appends.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/blocking_pool.h"
#include "base/env.h"
#include "journal/journal.h"
#include "journal/memory/memory_disk.h"
#include "journal/memory/memory_journal.h"
#include "journal/postgres/connection.h"
#include "journal/postgres/postgres_journal.h"
#include "journal/sqlite/database.h"
#include "journal/sqlite/sqlite_journal.h"
#include "journal/testing/postgres_server.h"

namespace perdure::journal::testing {

/// A directory that is gone at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = std::filesystem::temp_directory_path() / "perdure-journal-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string data() const { return path_ + "/data"; }
  std::string database() const { return data() + "/perdure.db"; }

 private:
  std::string path_;
};

inline SessionKey key_of(std::string project, std::string session) {
  return {{std::move(project)}, {std::move(session)}};
}

/// An append of one entry; more is set by the test.
inline Append append_of(SessionKey key, std::uint64_t head, std::string body = R"({"v":1})",
                        Kind kind = 11) {
  return {.key = std::move(key),
          .head = head,
          .entries = {{.kind = kind, .body = std::move(body)}},
          .open = false};
}

/// Runs coroutines to their end on a loop of its own.
class Loop {
 public:
  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    start(std::move(task), value);
    finish();
    return std::move(value.value());
  }

  /// Begins a call; `value` is set once `finish` has run it.
  template <class T>
  void start(Task<T> task, std::optional<T>& value) {
    boost::asio::co_spawn(context_, keep(std::move(task), &value), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
  }

  /// Runs what is ready now.
  void poll() {
    context_.restart();
    context_.poll();
  }
  void finish() {
    context_.restart();
    context_.run();
  }

 private:
  template <class T>
  static Task<> keep(Task<T> task, std::optional<T>* value) {
    value->emplace(co_await std::move(task));
  }

  boost::asio::io_context context_;
};

/// A connection to a store's database, beside the store.
class RawPostgres {
 public:
  explicit RawPostgres(const std::string& url) : target_(postgres::Target::parse(url).value()) {
    auto opened = postgres::Connection::open(target_, interrupt_);
    if (!opened) throw std::runtime_error(opened.error().message);
    connection_ = std::move(*opened);
  }
  void execute(const std::string& sql) {
    if (auto done = connection_->script(sql); !done) throw std::runtime_error(done.error().message);
  }
  /// The one number that a query gives.
  std::int64_t number(const std::string& sql) {
    const postgres::Statement statement(sql);
    auto answers = connection_->run({&statement, 1}, 10'000);
    if (!answers) throw std::runtime_error(answers.error().message);
    return answers->at(0).integer(0, 0);
  }

 private:
  postgres::Target target_;
  postgres::Interrupt interrupt_;
  std::unique_ptr<postgres::Connection> connection_;
};

/// A store of the kind that the parameter names, "sqlite", "postgres" or "memory".
class StoreTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { open(); }
  void TearDown() override {
    store_.reset();
    if (!url_.empty()) PostgresServer::of_this_program().give_back(url_);
  }

  void open() {
    if (GetParam() == "memory") {
      auto memory = std::make_unique<MemoryJournal>(env_, disk_);
      disk_ = memory->disk();
      store_ = std::move(memory);
    } else if (GetParam() == "postgres") {
      if (url_.empty()) url_ = PostgresServer::of_this_program().take_database();
      auto postgres = PostgresJournal::open({.url = url_}, env_);
      ASSERT_TRUE(postgres) << postgres.error().message;
      store_ = std::move(*postgres);
    } else {
      auto sqlite = SqliteJournal::open({.directory = directory_.data()}, env_, pool_);
      ASSERT_TRUE(sqlite) << sqlite.error().message;
      store_ = std::move(*sqlite);
    }
  }

  void reopen() {
    store_.reset();
    open();
  }

  /// As if a later opening of the store had taken the session over.
  void take_over(const SessionKey& key) {
    if (disk_) {
      disk_->sessions.at(key).row.epoch += 1000;
    } else if (!url_.empty()) {
      RawPostgres(url_).execute("UPDATE session SET epoch = epoch + 1000 WHERE project = '" +
                                key.project.value + "' AND id = '" + key.session.value + "'");
    } else {
      sqlite::Connection raw(directory_.database(), sqlite::Access::kWrite);
      raw.run("UPDATE session SET epoch = epoch + 1000 WHERE project = ? AND id = ?",
              key.project.value, key.session.value);
    }
  }

  /// While the result lives no write of the store can begin (in memory none can before a poll).
  std::shared_ptr<void> hold_writes() {
    if (disk_) return nullptr;
    if (!url_.empty()) {
      auto held = std::make_shared<RawPostgres>(url_);
      held->execute("BEGIN; LOCK TABLE opening IN SHARE MODE");
      return held;
    }
    auto raw = std::make_shared<sqlite::Connection>(directory_.database(), sqlite::Access::kWrite);
    raw->execute("BEGIN IMMEDIATE");
    return raw;
  }

  Result<Committed> append(Append append) { return loop_.run(store_->append(std::move(append))); }

  /// The head after `count` entries were appended one by one to a new session.
  std::uint64_t fill(const SessionKey& key, std::uint64_t count) {
    for (std::uint64_t head = 0; head < count; ++head)
      EXPECT_TRUE(append(append_of(key, head, "entry " + std::to_string(head + 1))));
    return count;
  }

  std::vector<std::string> bodies(const SessionKey& key) {
    auto entries = loop_.run(store_->read({.key = key}));
    std::vector<std::string> bodies;
    if (entries)
      for (const Entry& entry : *entries) bodies.push_back(entry.body);
    return bodies;
  }

  TemporaryDirectory directory_;
  FakeEnv env_;
  async::BlockingPool pool_{2};
  Loop loop_;
  std::shared_ptr<MemoryDisk> disk_;
  std::string url_;  // of PostgreSQL's database
  std::unique_ptr<JournalStore> store_;
};

template <class T>
ErrorCode code_of(const Result<T>& result) {
  EXPECT_FALSE(result) << "it succeeded";
  return result ? ErrorCode::kInternal : result.error().code;
}

}  // namespace perdure::journal::testing
