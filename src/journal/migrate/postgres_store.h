// A PostgreSQL database as one side of a migration. To look at it disturbs nobody; `hold`
// supersedes whoever has it, and each of our commits is refused once somebody has opened it after
// us.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/env.h"
#include "journal/migrate/store.h"
#include "journal/postgres/connection.h"
#include "journal/postgres/opening.h"

namespace perdure::journal::migrate {

class PostgresStore final : public Store {
 public:
  /// As PostgresJournal::open; with `must_exist` kNotFound for a database without a store.
  /// `interrupt`, which outlives this, ends a wait for the database.
  static Result<std::unique_ptr<PostgresStore>> open(const std::string& url,
                                                     postgres::Durability durability,
                                                     bool must_exist,
                                                     postgres::Interrupt& interrupt, Env& env);

  std::string name() const override { return connection_->name(); }
  Result<std::vector<Table>> tables() override;
  Result<Origin> origin() override;
  Result<Marks> marks() override { return postgres::read_marks(*connection_); }
  Result<std::vector<Record>> read(const Table& table, const Record* after) override;
  Result<void> hold() override;
  Result<void> begin_copy(const std::vector<Table>& tables, const Mark& mark,
                          const std::string& secret) override;
  Result<void> write(const Table& table, const std::vector<Record>& records) override;
  Result<void> end_copy(const Origin& origin) override;
  Result<void> mark_moved(const Mark& mark) override;
  Result<void> check_held() override { return commit({}); }

 private:
  PostgresStore(std::unique_ptr<postgres::Target> target, postgres::Durability durability, Env& env)
      : target_(std::move(target)), durability_(durability), env_(env) {}

  Result<postgres::Rows> ask(postgres::Statement question);
  /// The statements in one transaction, with the hold on the store.
  Result<void> commit(std::vector<postgres::Statement> statements);
  Error error_of(const postgres::Failure& failure) const;
  const std::string& type_of(const Table& table, const Column& column) const;

  std::unique_ptr<postgres::Target> target_;  // the connection refers to it
  postgres::Durability durability_;
  Env& env_;
  std::unique_ptr<postgres::Connection> connection_;
  std::uint64_t epoch_ = 0;
  std::map<std::string, std::string, std::less<>> types_;  // of "table.column"
};

}  // namespace perdure::journal::migrate
