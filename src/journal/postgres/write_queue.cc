#include "journal/postgres/write_queue.h"

#include <algorithm>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>

#include "journal/append_check.h"
#include "journal/limits.h"

namespace perdure::journal::postgres {
namespace asio = boost::asio;

// Tracked: a loop does not run out of work while a caller on it waits for the database.
Write::Write(ProjectId of, async::Executor resume_on)
    : project(std::move(of)),
      executor(asio::prefer(std::move(resume_on), asio::execution::outstanding_work.tracked)) {}

void resume(Group group) {
  while (!group.empty()) {
    async::Executor executor = group.front()->executor;
    Group together, rest;
    for (auto& write : group)
      (write->executor == executor ? together : rest).push_back(std::move(write));
    group = std::move(rest);
    asio::post(executor, [writes = std::move(together)] {
      for (const auto& write : writes) write->resume();
    });
  }
}

std::optional<Error> WriteQueue::add(std::unique_ptr<Write>& write) {
  {
    std::lock_guard lock(mutex_);
    if (away_) return away_;
    auto& queue = queues_[write->project];
    if (queue.size() >= kMaxQueuedPerProject) return queue_full(write->project).error();
    if (queue.empty()) turns_.push_back(write->project);
    queue.push_back(std::move(write));
  }
  wake_.notify_one();
  return std::nullopt;
}

std::optional<Group> WriteQueue::take(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, longest, [this] { return closed_ || nudged_ || !turns_.empty(); });
  nudged_ = false;
  if (closed_ && turns_.empty()) return std::nullopt;
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

void WriteQueue::turn_away(Error error) {
  Group refused;
  {
    std::lock_guard lock(mutex_);
    for (auto& [project, queue] : queues_) std::ranges::move(queue, std::back_inserter(refused));
    queues_.clear();
    turns_.clear();
    away_ = error;
  }
  for (auto& write : refused) write->refuse(error);
  resume(std::move(refused));
}

void WriteQueue::welcome() {
  std::lock_guard lock(mutex_);
  away_.reset();
}

std::optional<Error> WriteQueue::turned_away() const {
  std::lock_guard lock(mutex_);
  return away_;
}

void WriteQueue::nudge() {
  {
    std::lock_guard lock(mutex_);
    nudged_ = true;
  }
  wake_.notify_all();
}

void WriteQueue::close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  wake_.notify_all();
}

bool WriteQueue::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

}  // namespace perdure::journal::postgres
