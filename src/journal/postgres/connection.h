// A connection to PostgreSQL: one run of statements at a time, sent as one pipeline and answered in
// one round trip.
//
// Belongs to one thread. Nothing of it depends on a session of the server beyond the run itself: no
// named statements, no settings that outlive a transaction, no advisory locks, no LISTEN; so a pool
// that lends connections by the transaction may stand between. A failure is a value (Failure); one
// that says `lost` leaves open what the server did, and the connection is of no more use.
#pragma once

#include <expected>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "journal/postgres/statement.h"
#include "journal/postgres/target.h"

struct pg_conn;

namespace perdure::journal::postgres {

struct Failure {
  std::string sqlstate;       ///< five characters; empty where there was no answer
  std::string message;        ///< for the log: no values, no password
  std::size_t statement = 0;  ///< which one of the run failed
  bool lost = false;          ///< the connection is gone

  /// Whether it was committed could not be found out (SQLSTATE 08007): the store closed.
  static Failure unknown(std::string message);
  /// The sentence for a caller. kUnavailable where trying again may help.
  Error to_error() const;
};

template <class T>
using Outcome = std::expected<T, Failure>;

/// Interrupts waits: a run that waits when it is raised ends as `lost`. Any thread may raise it.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  void raise();
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

class Connection {
 public:
  static Outcome<std::unique_ptr<Connection>> open(const Target& target, Interrupt& interrupt);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Sends all statements and waits for all answers. After an error the rest is not done and the
  /// transaction, if one was begun, is rolled back.
  Outcome<Answers> run(std::span<const Statement> statements, std::int64_t timeout_ms);
  /// Runs statements without values, separated by semicolons: for the schema.
  Outcome<void> script(const std::string& sql);

  /// False where the server has hung up: what is not sent then cannot be in doubt.
  bool alive();
  /// The last run brought a warning. At a commit that can mean that a standby did not confirm it.
  bool warned() const { return warned_; }
  int server_version() const;
  /// "database 'perdure' at /run/postgresql:5432", for messages.
  std::string name() const;

 private:
  Connection(pg_conn* connection, const Target& target, Interrupt& interrupt);

  struct Sent;  // a command of the pipeline, and whose it is
  Outcome<Answers> collect(const std::vector<Sent>& sent, std::size_t statements,
                           std::int64_t timeout_ms);
  Outcome<void> wait(std::int64_t deadline);
  Failure lost(std::string_view when) const;

  pg_conn* connection_;
  const Target& target_;
  Interrupt& interrupt_;
  bool warned_ = false;
};

}  // namespace perdure::journal::postgres
