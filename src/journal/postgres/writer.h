// The one thread that writes to the database.
//
// It takes every waiting write into one transaction, sent as one pipeline: BEGIN, the writes, the
// mark, COMMIT. No added delay, one round trip and one flush for all. The mark stores the number of
// the group and the outcomes of its writes in our row of `opening`, and fails the transaction where
// this may not be acknowledged or is not ours to write any more (opening.h). Should a statement
// fail, the transaction is rolled back and each write is tried alone, so that only the broken one
// fails.
//
//   group ──sent──▶ answered ──▶ done
//             └──▶ lost ──claim──▶ the row has its number: done, with the outcomes kept there
//                                  └▶ it has not: nothing was written, and never will be: again
//
// While the answer of `claim` is awaited nobody is told anything. Writes that wait are held for
// kPatienceMs and then refused until the database is back.
//
// Owned by the PostgresJournal. Callers are resumed on their own executors, which outlive the
// writer. The destructor writes what still waits, and gives a database that is away a few seconds.
// A database that has lost a commit it had confirmed ends the process (log::fatal).
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/env.h"
#include "journal/postgres/connection.h"
#include "journal/postgres/opening.h"
#include "journal/postgres/write_queue.h"

namespace perdure::journal::postgres {

class Writer {
 public:
  Writer(std::unique_ptr<Connection> connection, const Target& target, Interrupt& interrupt,
         Durability durability, std::uint64_t epoch, std::optional<NodeIdentity> node, Env& env);
  ~Writer();

  WriteQueue& queue() { return queue_; }
  using Rejoined = std::move_only_function<void(Result<StoreIdentity>)>;
  /// For a node that was ended: refuses all that waits, opens the store anew and takes writes
  /// again. `done` is called on the writer's thread; kUnavailable where the store closes first.
  void rejoin(Rejoined done);
  StoreStats stats() const;

 private:
  struct Sent;  // a group's pipeline, and what is read from its answer

  void run();
  bool rejoin_now();
  void write(Group group);
  Outcome<void> commit(Group& group);
  Sent put_together(Group& group, UnixMillis now);
  void finish(Group& group, std::string_view outcomes, UnixMillis now);

  Outcome<void> be_connected();
  Outcome<Claim> claim_until_known();
  Outcome<Claim> try_claim();
  Outcome<void> accept(const Claim& claim);
  void pause();
  void note_disk_full(bool is_full);

  const Target& target_;
  Interrupt& interrupt_;
  const Durability durability_;
  const std::optional<NodeIdentity> node_;
  Env& env_;

  // The thread's.
  std::uint64_t epoch_;
  std::unique_ptr<Connection> connection_;  // null or claimed
  std::uint64_t generation_ = 0;
  std::uint64_t number_ = 0;     // of the group sent last
  std::uint64_t confirmed_ = 0;  // of the group that was committed last
  std::int64_t away_since_ = 0;  // on the steady clock; 0: it is not
  std::int64_t pause_ms_ = 0;
  bool superseded_ = false;  // until it rejoins

  WriteQueue queue_;
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  bool ending_ = false;
  bool ended_ = false;
  std::vector<Rejoined> rejoining_;
  StoreStats stats_;

  std::thread thread_;
};

}  // namespace perdure::journal::postgres
