#include "database.h"

#include <algorithm>

namespace perdure::simulation {

using journal::kLeaseMs;
using journal::kShards;

std::uint64_t Database::add_store() {
  auto store = std::make_unique<journal::MemoryJournal>(env_, disk_);
  const std::uint64_t epoch = store->epoch();
  stores_.emplace(epoch, std::move(store));
  return epoch;
}

std::uint64_t Database::open(const std::string& node) {
  for (auto& [epoch, opening] : openings_)
    if (opening.node == node) opening.superseded = true;
  const std::uint64_t epoch = add_store();
  openings_[epoch] = {.node = node, .url = "", .until = env_.monotonic_ms() + kLeaseMs};
  return epoch;
}

Result<journal::Leases> Database::renew(std::uint64_t epoch, const journal::LeaseRequest& request) {
  Opening& mine = openings_.at(epoch);
  if (mine.superseded) return fail(ErrorCode::kFenced, "This node was ended by another.");
  const std::int64_t now = env_.monotonic_ms();
  if (request.leave) {
    mine.superseded = true;
  } else {
    mine.until = now + kLeaseMs;
    mine.url = request.url;
  }
  for (auto& [other, opening] : openings_)
    if (!opening.superseded && opening.until <= now) opening.superseded = true;

  std::size_t held = 0;
  for (std::size_t i = 0; i < kShards; ++i) {
    if (shards_[i].holder != epoch) continue;
    if (request.give_up.test(i))
      shards_[i].holder = 0;
    else
      ++held;
  }
  journal::Leases leases;
  for (auto& [other, opening] : openings_) {
    if (!lives(opening)) continue;
    leases.nodes.push_back({other, opening.url});
    if (other != epoch) leases.next_end_ms = std::min(leases.next_end_ms, opening.until - now);
  }
  if (lives(mine)) {
    const std::size_t share = (kShards + leases.nodes.size() - 1) / leases.nodes.size();
    std::uint64_t taken_with = 0;
    for (std::size_t i = 0; i < kShards && held < share; ++i) {
      Shard& shard = shards_[i];
      const bool is_free = shard.holder == 0 || openings_.at(shard.holder).superseded;
      if (!is_free || request.give_up.test(i)) continue;
      if (taken_with == 0) taken_with = add_store();
      shard = {epoch, taken_with};
      ++held;
    }
  }
  for (std::size_t i = 0; i < kShards; ++i) {
    if (shards_[i].holder == 0 || !lives(openings_.at(shards_[i].holder))) continue;
    leases.holders[i] = shards_[i].holder;
    if (shards_[i].holder == epoch) leases.held.set(i);
  }
  leases.changes = changes_;
  return leases;
}

const Database::Opening& Database::claim(std::uint64_t epoch) {
  Opening& opening = openings_.at(epoch);
  ++opening.generation;
  return opening;
}

JournalStore* Database::writer(std::uint64_t epoch, const SessionKey& key) {
  const Shard& shard = shards_[journal::shard_of(key)];
  return shard.holder == epoch ? stores_.at(shard.epoch).get() : nullptr;
}

}  // namespace perdure::simulation
