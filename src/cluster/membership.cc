#include "cluster/membership.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cluster/limits.h"

namespace perdure::cluster {

Membership::Membership(Env& env, async::Executor executor, journal::LeaseStore& store,
                       Worker& worker)
    : env_(env), executor_(executor), store_(store), worker_(worker), wake_(executor) {}

Result<void> Membership::may_use(const SessionKey& key) const {
  if (!holds(key))
    return fail(ErrorCode::kUnavailable, "Another node works on the session; try again shortly.",
                {}, std::string(kElsewhere));
  if (!sure())
    return fail(ErrorCode::kUnavailable,
                "This node has lost touch with its database; try again shortly.");
  return {};
}

std::optional<journal::Node> Membership::holder_of(const SessionKey& key) const {
  const std::uint64_t epoch = leases_.holders.at(journal::shard_of(key));
  for (const journal::Node& node : leases_.nodes)
    if (node.epoch == epoch) return node;
  return std::nullopt;
}

Task<> Membership::run(std::string url, std::function<void()> joined) {
  url_ = std::move(url);
  while (!leaving_) {
    if (env_.monotonic_ms() >= next_renewal_) {
      co_await renew();
      if (joined && leases_.valid_until != 0) std::exchange(joined, nullptr)();
    } else if (leases_.nodes.size() > 1) {
      auto changes = co_await store_.changes();
      if (changes && changes_ && *changes != *changes_) next_renewal_ = 0;
    }
    if (leaving_) break;
    const std::int64_t until_renewal = next_renewal_ - env_.monotonic_ms();
    co_await wake_.wait(std::clamp<std::int64_t>(until_renewal, 0, kLookEveryMs));
  }
}

Task<> Membership::renew() {
  const Shards giving = given_up_;
  auto looking = std::exchange(looking_, {});
  auto leases = co_await store_.renew({.url = url_, .give_up = giving});
  const std::int64_t now = env_.monotonic_ms();
  if (leases) {
    given_up_ &= ~giving;
    if (std::exchange(silent_, false)) log::info("this node lives on");
    // Wakes up when another node may just have ended, rather than up to a second later.
    next_renewal_ = now + std::clamp(leases->next_end_ms + 10, kRenewAgainMs, kRenewEveryMs);
    apply(std::move(*leases));
  } else if (leases.error().code == ErrorCode::kFenced && !leaving_) {
    co_await start_over();
    next_renewal_ = 0;
  } else {
    next_renewal_ = now + kRenewAgainMs;
    if (!std::exchange(silent_, true))
      log::error("this node could not say that it lives", {{"why", leases.error().message}});
  }
  for (const auto& signal : looking) signal->notify();
}

void Membership::apply(journal::Leases leases) {
  const bool others_changed = changes_ && *changes_ != leases.changes;
  changes_ = leases.changes;
  leases_ = std::move(leases);
  const Shards going = giving_up_ | given_up_;
  const Shards lost = held_ & ~leases_.held;
  const Shards taken = leases_.held & ~held_ & ~going;
  held_ = leases_.held & ~going;
  if (lost.any()) {
    log::error("shards went to another node without being given up", {{"shards", lost.count()}});
    giving_up_ |= lost;
    async::spawn(executor_, "drop shards", drop(lost));
  }
  if (taken.any()) {
    log::info("shards are taken up", {{"shards", taken.count()}, {"nodes", leases_.nodes.size()}});
    async::spawn(executor_, "take up shards", worker_.take_up(taken));
  }
  if (leases_.nodes.size() > 1 || others_changed)
    async::spawn(executor_, "refresh", worker_.refresh(others_changed));
  balance();
}

void Membership::balance() {
  const std::size_t nodes = std::max<std::size_t>(leases_.nodes.size(), 1);
  const std::size_t share = (journal::kShards + nodes - 1) / nodes;
  const std::int64_t now = env_.monotonic_ms();
  if (held_.count() <= share) {
    uneven_since_ = 0;
    return;
  }
  if (uneven_since_ == 0) uneven_since_ = now;
  // A turn that is cut off costs its model call: those that rest go first, the others get time.
  const bool patient = now - uneven_since_ < kPatienceMs;
  const Shards busy = worker_.busy();
  std::size_t wanted = std::min(held_.count() - share, kHandedOverAtOnce);
  Shards which;
  for (const bool take_busy : {false, true}) {
    if (take_busy && patient) break;
    for (std::size_t shard = 0; shard < journal::kShards && wanted > 0; ++shard) {
      if (!held_.test(shard) || which.test(shard) || busy.test(shard) != take_busy) continue;
      which.set(shard);
      --wanted;
    }
  }
  if (which.none()) return;
  held_ &= ~which;
  giving_up_ |= which;
  async::spawn(executor_, "hand over shards", hand_over(which));
}

Task<> Membership::hand_over(Shards which) {
  ++tasks_;
  if (!planted("hand-over-early")) co_await worker_.give_up(which);
  giving_up_ &= ~which;
  given_up_ |= which;
  next_renewal_ = 0;
  wake_.notify();
  --tasks_;
}

/// They are not ours any more: only what is in memory goes.
Task<> Membership::drop(Shards which) {
  ++tasks_;
  co_await worker_.give_up(which);
  giving_up_ &= ~which;
  --tasks_;
}

/// Whatever this node has in memory may be old: it forgets everything and joins anew.
Task<> Membership::start_over() {
  log::warn("this node was ended by another; it drops its sessions and joins anew",
            {{"shards", held_.count()}});
  held_.reset();
  leases_ = {};
  co_await worker_.give_up(journal::all_shards());
  while (tasks_ > 0 && !leaving_) co_await async::sleep_for(10);
  given_up_.reset();
  while (!leaving_) {
    auto joined = co_await store_.rejoin();
    if (joined) {
      log::info("this node has joined anew", {{"epoch", store_.self()}});
      co_return;
    }
    if (!std::exchange(silent_, true))
      log::error("this node cannot join", {{"why", joined.error().message}});
    co_await async::sleep_for(kRenewAgainMs);
  }
}

Task<> Membership::look_again() {
  auto looked = std::make_shared<async::Signal>(executor_);
  looking_.push_back(looked);
  next_renewal_ = 0;
  wake_.notify();
  co_await looked->wait(journal::kLeaseMs);
}

Task<> Membership::leave() {
  leaving_ = true;
  wake_.notify();
  held_.reset();
  auto left = co_await store_.renew({.leave = true});
  // Where the store does not answer, the others wait until the lease has run out.
  if (!left && left.error().code != ErrorCode::kFenced)
    log::warn("the other nodes were not told that this one ends", {{"why", left.error().message}});
}

}  // namespace perdure::cluster
