// The one thread that writes to the database.
//
// It takes every waiting write (round-robin over the projects, at most kMaxGroup), runs them in one
// transaction, and resumes their callers: no added delay, one flush for all. A write decides for
// itself whether it may be done *before* it changes anything, so a fenced append costs its
// neighbours nothing. Should a statement fail all the same, the group is rolled back and each write
// is tried alone, so that only the broken one fails. Between groups, and only here, the write-ahead
// log is checkpointed.
//
// In a simulation there is no thread: groups are written by handlers of the executor that is given.
//
// Disk full: a write gets kUnavailable, unless it may use the reserve: that is freed for
// it then. The writer looks for space again before each group and once a second.
//
// Owned by the SqliteJournal. `submit` may be called from any thread; callers are resumed on their
// own executors, which must outlive the writer. The destructor writes what still waits.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "async/task.h"
#include "base/env.h"
#include "journal/journal.h"
#include "journal/sqlite/data_directory.h"
#include "journal/sqlite/database.h"

namespace perdure::journal::sqlite {

/// One waiting write. The writer calls `prepare` and `apply` on its thread, and `resume` on
/// `executor` when the answer is final.
class Write {
 public:
  Write(ProjectId project, async::Executor executor);
  virtual ~Write() = default;

  /// Stores bodies too large for the group, in an earlier transaction.
  virtual void prepare(Connection&) {}
  /// Decides, then changes rows, and keeps the answer. After a rollback it is called again.
  virtual void apply(Connection& connection, UnixMillis now) = 0;
  /// Makes `error` the answer: nothing was written.
  virtual void refuse(Error error) = 0;
  virtual void resume() = 0;

  ProjectId project;
  async::Executor executor;
  bool large = false;            ///< has something to prepare
  bool alone = false;            ///< shares its transaction with no other write
  bool empties_log = false;      ///< alone; refused where readers keep the log from being emptied
  bool may_use_reserve = false;  ///< small, and not doing it would be worse than a full disk
  StoreStats counted;            ///< added to the store's figures when it is on disk
};

class Writer {
 public:
  /// `executor`: none for a thread of its own.
  Writer(std::unique_ptr<Connection> connection, DataDirectory& directory, Env& env, bool disk_full,
         std::optional<async::Executor> executor);
  ~Writer();

  /// Takes the write, or leaves it and gives false when too many of its project wait.
  [[nodiscard]] bool submit(std::unique_ptr<Write>& write);

  StoreStats stats() const;

 private:
  using Group = std::vector<std::unique_ptr<Write>>;

  void run();
  void run_later();
  std::optional<Group> wait_for_group();
  Group take_group();
  void write(Group group);
  void write_each(Group group);
  void commit(Group& group);
  Group refuse_while_full(Group group);
  void resume(Group group);
  void checkpoint_if_due();
  void empty_log(Write& asked_by);
  bool disk_full() const;
  void disk_ran_full();
  void look_for_space();

  std::unique_ptr<Connection> connection_;
  DataDirectory& directory_;
  Env& env_;
  std::optional<async::Executor> executor_;
  bool run_soon_ = false;    // a handler that will write waits there
  int log_pages_ = 0;        // after the last group
  int next_checkpoint_ = 0;  // when the log has this many

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::map<ProjectId, std::deque<std::unique_ptr<Write>>> queues_;  // none is empty
  std::deque<ProjectId> turns_;  // the keys of queues_, whose turn is next first
  bool stopping_ = false;
  StoreStats stats_;

  std::thread thread_;
};

}  // namespace perdure::journal::sqlite
