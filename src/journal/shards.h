// Sessions by their place in a cluster: every session belongs to one of 256 shards, for ever, and a
// node works on the sessions of the shards it holds (leases.h). A shard is what a node takes, keeps
// alive and hands on as a whole, so what that costs does not grow with the number of sessions.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>

#include "base/ids.h"

namespace perdure::journal {

inline constexpr std::size_t kShards = 256;

using Shard = std::uint8_t;
using Shards = std::bitset<kShards>;

/// The first byte of the SHA-256 of "project LF session". Stored with the rows of a session, and
/// computed by the database too (postgres/migrations.cc): it never changes.
Shard shard_of(const SessionKey& key);

inline Shards all_shards() {
  return Shards().set();
}

}  // namespace perdure::journal
