#include "journal/sqlite/writer.h"

#include <pthread.h>
#include <sqlite3.h>

#include <algorithm>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <chrono>

#include "base/log.h"
#include "base/planted_bug.h"
#include "journal/limits.h"

namespace perdure::journal::sqlite {
namespace asio = boost::asio;
namespace {

/// Moves the writes for which `predicate` holds out of the group; both keep their order.
template <class Group, class Predicate>
Group take_if(Group& group, Predicate predicate) {
  Group taken, left;
  for (auto& write : group) (predicate(*write) ? taken : left).push_back(std::move(write));
  group = std::move(left);
  return taken;
}

}  // namespace

// Tracked: a loop does not run out of work while a caller on it waits for the disk.
Write::Write(ProjectId project_of_write, async::Executor executor_of_caller)
    : project(std::move(project_of_write)),
      executor(
          asio::prefer(std::move(executor_of_caller), asio::execution::outstanding_work.tracked)) {}

Writer::Writer(std::unique_ptr<Connection> connection, DataDirectory& directory, Env& env,
               bool disk_full, std::optional<async::Executor> executor)
    : connection_(std::move(connection)),
      directory_(directory),
      env_(env),
      executor_(std::move(executor)),
      next_checkpoint_(kCheckpointPages) {
  stats_.disk_full = disk_full;
  if (!executor_) thread_ = std::thread([this] { run(); });
}

Writer::~Writer() {
  if (executor_) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

bool Writer::submit(std::unique_ptr<Write>& write) {
  {
    std::lock_guard lock(mutex_);
    auto& queue = queues_[write->project];
    if (queue.size() >= kMaxQueuedPerProject) return false;
    if (queue.empty()) turns_.push_back(write->project);
    queue.push_back(std::move(write));
  }
  if (executor_)
    run_later();
  else
    wake_.notify_one();
  return true;
}

StoreStats Writer::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

// ---- the thread -----------------------------------------------------------------------------

void Writer::run() {
  pthread_setname_np(pthread_self(), "journal-writer");
  while (std::optional<Group> group = wait_for_group()) {
    write(std::move(*group));
    checkpoint_if_due();
  }
}

/// What `run` does in a thread, one group at a time.
void Writer::run_later() {
  if (std::exchange(run_soon_, true)) return;
  asio::post(*executor_, [this] {
    run_soon_ = false;
    if (disk_full()) look_for_space();
    write(take_group());
    checkpoint_if_due();
    if (!turns_.empty()) run_later();
  });
}

/// Waits for work. An empty group is a pause while the disk is full; nullopt is the end.
std::optional<Writer::Group> Writer::wait_for_group() {
  std::unique_lock lock(mutex_);
  auto ready = [this] { return stopping_ || !turns_.empty(); };
  if (stats_.disk_full) {
    wake_.wait_for(lock, std::chrono::seconds(1), ready);
    lock.unlock();
    look_for_space();
    lock.lock();
  } else {
    wake_.wait(lock, ready);
  }
  if (stopping_ && turns_.empty()) return std::nullopt;
  return take_group();
}

/// Of what waits, as much as goes together. Others are kept out.
Writer::Group Writer::take_group() {
  Group group;
  while (!turns_.empty() && group.size() < kMaxGroup) {
    auto found = queues_.find(turns_.front());
    auto& queue = found->second;
    if (queue.front()->alone && !group.empty()) break;  // it starts the next group
    group.push_back(std::move(queue.front()));
    queue.pop_front();
    if (queue.empty())
      queues_.erase(found);
    else
      turns_.push_back(found->first);
    turns_.pop_front();
    if (group.back()->alone) break;
  }
  return group;
}

void Writer::write(Group group) {
  group = refuse_while_full(std::move(group));
  if (group.empty()) return;
  try {
    commit(group);
  } catch (const DatabaseError& error) {
    if ((error.code() & 0xff) != SQLITE_BUSY) return write_each(std::move(group));
    log::error("the database is locked by another process", {{"error", error.what()}});
    for (auto& write : group) write->refuse(error.to_error());
  } catch (const std::exception&) {
    return write_each(std::move(group));
  }
  resume(std::move(group));
}

/// After a group failed: each write alone, so that those which can be done are.
void Writer::write_each(Group group) {
  for (auto& write : group) {
    Group one;
    one.push_back(std::move(write));
    try {
      for (;;) {
        try {
          commit(one);
          break;
        } catch (const DatabaseError& error) {
          if (!error.disk_full()) throw;
          disk_ran_full();
          if (!one.front()->may_use_reserve || !directory_.release_reserve()) throw;
          log::warn("the reserve of disk space is given up so that a result can be stored");
        }
      }
    } catch (const DatabaseError& error) {
      if (!error.disk_full()) log::error("a write failed", {{"error", error.what()}});
      one.front()->refuse(error.to_error());
    } catch (const std::exception& error) {
      log::error("a write failed", {{"error", error.what()}});
      one.front()->refuse({ErrorCode::kInternal, "The store failed to write."});
    }
    resume(std::move(one));
  }
}

/// On return all of the group is on disk; with an exception nothing of it is.
void Writer::commit(Group& group) {
  UnixMillis now = env_.now();
  if (std::ranges::any_of(group, [](const auto& write) { return write->large; })) {
    Transaction transaction(*connection_);
    for (auto& write : group)
      if (write->large) write->prepare(*connection_);
    transaction.commit();
  }
  Transaction transaction(*connection_);
  std::int64_t changes_before = connection_->total_changes();
  StoreStats counted;
  for (auto& write : group) {
    write->counted = {};
    write->apply(*connection_, now);
    counted.appends += write->counted.appends;
    counted.entries += write->counted.entries;
    counted.bytes += write->counted.bytes;
    counted.fenced += write->counted.fenced;
  }
  counted.commits = connection_->total_changes() != changes_before;
  if (planted("ack-before-commit")) resume(std::exchange(group, {}));
  transaction.commit();

  if (!group.empty() && group.front()->empties_log) empty_log(*group.front());

  std::lock_guard lock(mutex_);
  stats_.commits += counted.commits;
  stats_.appends += counted.appends;
  stats_.entries += counted.entries;
  stats_.bytes += counted.bytes;
  stats_.fenced += counted.fenced;
}

/// One post per executor, however many callers wait there.
void Writer::resume(Group group) {
  while (!group.empty()) {
    async::Executor executor = group.front()->executor;
    Group together = take_if(group, [&](const Write& write) { return write.executor == executor; });
    asio::post(executor, [writes = std::move(together)] {
      for (const auto& write : writes) write->resume();
    });
  }
}

void Writer::checkpoint_if_due() {
  int pages = connection_->log_pages();
  if (pages < log_pages_) next_checkpoint_ = kCheckpointPages;  // the log began anew
  log_pages_ = pages;
  if (pages < next_checkpoint_) return;
  next_checkpoint_ = pages + kCheckpointPages;
  try {
    bool far_too_long = pages >= kMaxLogPages;
    CheckpointResult result = connection_->checkpoint(far_too_long);
    if (far_too_long && !result.complete())
      log::warn("readers keep the write-ahead log from being emptied", {{"pages", pages}});
  } catch (const DatabaseError& error) {
    // Nothing is lost: the log has it all. A full disk is met here too.
    log::warn("the write-ahead log could not be checkpointed", {{"error", error.what()}});
  }
}

void Writer::empty_log(Write& asked_by) {
  if (connection_->checkpoint(true).log_pages == 0) return;
  asked_by.refuse(
      {ErrorCode::kUnavailable,
       "What was deleted is still in the write-ahead log, which is in use. Ask again."});
}

// ---- a full disk ----------------------------------------------------------------------------

bool Writer::disk_full() const {
  std::lock_guard lock(mutex_);
  return stats_.disk_full;
}

void Writer::disk_ran_full() {
  std::lock_guard lock(mutex_);
  if (std::exchange(stats_.disk_full, true)) return;
  log::error("the disk is full: writes are refused until there is space, reads go on",
             {{"file", connection_->path()}});
}

/// Takes work again only when the reserve is whole and a small write succeeds.
void Writer::look_for_space() {
  if (!directory_.restore_reserve()) return;
  try {
    Transaction transaction(*connection_);
    // It must change something: a row set to what it is already is not written.
    connection_->run(
        "INSERT INTO meta VALUES ('space_probe', 1) "
        "ON CONFLICT DO UPDATE SET value = value + 1");
    transaction.commit();
  } catch (const DatabaseError& error) {
    return;
  }
  log::info("there is disk space again: writes are taken");
  std::lock_guard lock(mutex_);
  stats_.disk_full = false;
}

Writer::Group Writer::refuse_while_full(Group group) {
  if (!disk_full()) return group;
  Group full = take_if(group, [](const Write& write) { return !write.may_use_reserve; });
  Error error = DatabaseError(SQLITE_FULL, true, {}).to_error();
  for (auto& write : full) write->refuse(error);
  resume(std::move(full));
  return group;
}

}  // namespace perdure::journal::sqlite
