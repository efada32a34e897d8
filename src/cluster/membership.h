// This node among the nodes of its store: it lives on by saying so every second, takes up the
// sessions of shards that become its own, and hands shards over when others have fewer.
//
// Owned by the composition root, used on one loop. What it knows of others is a moment old, and
// that is enough: the store decides who may write (journal/leases.h), this decides what is asked of
// it and when this node stops trusting its own memory. While the store does not answer, requests
// are refused once the lease has run out, and go on without a loss if nobody has taken over.
#pragma once

#include <functional>
#include <optional>

#include "async/signal.h"
#include "async/task.h"
#include "base/env.h"
#include "base/planted_bug.h"
#include "cluster/ownership.h"
#include "journal/leases.h"

namespace perdure::cluster {

using async::Task;
using journal::Shards;

/// What a node does with its shards. Called on the loop; several calls may run at once, never two
/// about the same shard.
class Worker {
 public:
  virtual ~Worker() = default;
  /// They are this node's now: takes up what others left unfinished.
  virtual Task<> take_up(Shards shards) = 0;
  /// They must go: nothing of them is being written any more when it returns.
  virtual Task<> give_up(Shards shards) = 0;
  /// Shards whose sessions are in the middle of something that handing over would cut off.
  virtual Shards busy() const = 0;
  /// Others may have spent of the same budgets; `rows`: a node has changed stops, keys or budgets.
  /// Every second while there are other nodes.
  virtual Task<> refresh(bool rows) = 0;
};

class Membership final : public Ownership {
 public:
  Membership(Env& env, async::Executor executor, journal::LeaseStore& store, Worker& worker);

  Result<void> may_use(const SessionKey& key) const override;
  Shards held() const override { return held_; }

  /// The node that works on the session, as of the last renewal; nullopt: none.
  std::optional<journal::Node> holder_of(const SessionKey& key) const;
  bool holds(const SessionKey& key) const { return held_.test(journal::shard_of(key)); }
  std::uint64_t self() const { return store_.self(); }
  const std::vector<journal::Node>& nodes() const { return leases_.nodes; }
  /// The store's clock has not run past what this node last said. False: it may have been ended.
  bool sure() const {
    return env_.monotonic_ms() < leases_.valid_until || planted("trust-for-ever");
  }

  /// Lives on until `leave`; `url` is where other nodes reach this one. `joined` is called once,
  /// when the first shards are held or others hold all.
  Task<> run(std::string url, std::function<void()> joined);
  /// Renews now rather than in a moment, and returns afterwards: where `holder_of` was wrong.
  Task<> look_again();
  /// Ends this node, after all it was writing: others take its shards at once.
  Task<> leave();

 private:
  Task<> renew();
  void apply(journal::Leases leases);
  void balance();
  Task<> hand_over(Shards which);
  Task<> drop(Shards which);
  Task<> start_over();

  Env& env_;
  async::Executor executor_;
  journal::LeaseStore& store_;
  Worker& worker_;
  std::string url_;
  async::Signal wake_;
  journal::Leases leases_;
  Shards held_;       ///< in use
  Shards giving_up_;  ///< no more, but something of them is still being written
  Shards given_up_;   ///< to be said with the next renewal
  std::optional<std::uint64_t> changes_;
  std::int64_t next_renewal_ = 0;  ///< monotonic
  std::int64_t uneven_since_ = 0;  ///< monotonic; 0: it holds no more than its share
  std::vector<std::shared_ptr<async::Signal>> looking_;
  bool silent_ = false;  ///< the last renewal failed
  bool leaving_ = false;
  long tasks_ = 0;  ///< spawned here and running
};

}  // namespace perdure::cluster
