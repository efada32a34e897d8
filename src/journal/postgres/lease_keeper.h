// Leases over PostgreSQL: a thread with a connection of its own, so that a node lives on while its
// writer waits for a slow commit.
//
// One transaction does all of a renewal. That a node was silent for too long is decided by whoever
// sets `superseded` in its row of `opening`; every commit of that node changes the same row and
// demands that it is not set (writer.h). So of a commit and an end one comes first, for everybody:
// what was committed before is read by who takes the node's shards, and nothing is committed after.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "async/handover.h"
#include "base/env.h"
#include "journal/leases.h"
#include "journal/postgres/link.h"

namespace perdure::journal::postgres {

/// Of each shard that is held, the epoch under which its sessions are written; 0 for others.
using ShardEpochs = std::array<std::uint64_t, kShards>;

struct Renewal {
  Leases leases;
  ShardEpochs epochs{};
};

/// The statements of a renewal, and what their answers mean: kFenced where this node was ended.
std::vector<Statement> renewal_statements(std::uint64_t epoch, const LeaseRequest& request);
Result<Renewal> renewal_of(const Answers& answers, std::uint64_t epoch);

class LeaseKeeper {
 public:
  LeaseKeeper(const Target& target, Env& env);
  ~LeaseKeeper();

  async::Task<Result<Renewal>> renew(std::uint64_t epoch, LeaseRequest request);
  async::Task<Result<std::uint64_t>> changes();

 private:
  using Job = std::move_only_function<void(Link&)>;

  void add(Job job);
  void serve();
  Result<Renewal> renew_now(Link& link, std::uint64_t epoch, const LeaseRequest& request);
  Result<std::uint64_t> changes_now(Link& link);

  const Target& target_;
  Env& env_;
  Interrupt interrupt_;
  std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool ending_ = false;

  std::thread thread_;
};

}  // namespace perdure::journal::postgres
