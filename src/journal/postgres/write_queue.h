// What waits for the writer: a queue for each project, emptied in turns, so that no project's crowd
// keeps another waiting. While the database is away the queue turns everything away with a
// sentence; what already waits is refused then, too.
//
// May be used from any thread; `take` from the writer's only.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "async/task.h"
#include "journal/journal.h"
#include "journal/postgres/statement.h"

namespace perdure::journal::postgres {

/// One waiting write. All but `resume` is called on the writer's thread.
class Write {
 public:
  Write(ProjectId of, async::Executor resume_on);
  virtual ~Write() = default;

  /// What must be committed before the statement: bodies too large for the group.
  virtual std::vector<Statement> prepare() { return {}; }
  /// Asked again for each attempt.
  virtual Statement statement(UnixMillis now) = 0;
  /// It is committed, with this outcome.
  virtual void finish(std::string_view outcome, UnixMillis now) = 0;
  /// Makes `error` the answer: nothing was written.
  virtual void refuse(Error error) = 0;
  /// Hands the answer over; called on `executor`.
  virtual void resume() = 0;

  ProjectId project;
  async::Executor executor;
  bool alone = false;  ///< shares its transaction with no other write
  StoreStats counted;  ///< added to the store's figures when it is on disk
};

using Group = std::vector<std::unique_ptr<Write>>;

/// Resumes the callers: one post per executor, however many wait there.
void resume(Group group);

class WriteQueue {
 public:
  /// Takes the write, or leaves it and says why not.
  [[nodiscard]] std::optional<Error> add(std::unique_ptr<Write>& write);
  /// The next group: waits for one until `longest` has passed, then gives an empty one. nullopt
  /// once the queue is closed and empty.
  std::optional<Group> take(std::chrono::milliseconds longest);

  /// From now on and until `welcome` all writes are refused with `error`.
  void turn_away(Error error);
  void welcome();
  std::optional<Error> turned_away() const;

  /// Makes a waiting `take` give an empty group.
  void nudge();

  /// No more waiting: `take` gives what is there, then nullopt.
  void close();
  bool closed() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<ProjectId, std::deque<std::unique_ptr<Write>>> queues_;  // none is empty
  std::deque<ProjectId> turns_;  // the keys of queues_, whose turn is next first
  std::optional<Error> away_;
  bool closed_ = false;
  bool nudged_ = false;
};

}  // namespace perdure::journal::postgres
