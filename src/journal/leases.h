// Leases: which of many nodes over one store works on which sessions.
//
// A node is one opening of the store. It lives as long as it says so in time: `renew` every second,
// and what it said holds for kLeaseMs *by the store's clock*, so no node's clock matters to
// another. A node that was silent for longer is ended by whoever looks next: from then on the store
// refuses all it writes, and its shards (shards.h) are free. A node that is told so (kFenced) drops
// what it holds in memory and joins anew. Shards change hands in two ways only: their node gave
// them up, having finished all it was writing for them, or their node was ended. So at no time can
// two nodes write to one session, whatever their clocks, pauses and networks do.
//
// Between two renewals a node must know by itself when to stop trusting its memory: `valid_until`
// counts from *before* the renewal was sent, by a clock of this machine that is never set.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/error.h"
#include "journal/shards.h"

namespace perdure::journal {

/// How long a node lives after it last said so.
inline constexpr std::int64_t kLeaseMs = 3'000;

struct Node {
  std::uint64_t epoch = 0;  ///< of its opening: who opened later has a higher one
  std::string url;          ///< where other nodes reach it
};

struct LeaseRequest {
  std::string url;     ///< where other nodes reach this one
  Shards give_up;      ///< held ones of which nothing is being written any more
  bool leave = false;  ///< ends this node: all it holds is free at once
};

struct Leases {
  Shards held;                                   ///< by this node, newly taken ones included
  std::array<std::uint64_t, kShards> holders{};  ///< a living node's epoch; 0: nobody
  std::vector<Node> nodes;                       ///< that live, this one included, by epoch
  std::int64_t valid_until = 0;                  ///< by Env::monotonic_ms
  std::int64_t next_end_ms = kLeaseMs;  ///< from now, when the next other node ends if it is silent
  std::uint64_t changes = 0;            ///< see LeaseStore::changes
};

class LeaseStore {
 public:
  virtual ~LeaseStore() = default;

  /// Lives on, ends who was silent, gives up, and takes of what is free as much as makes this
  /// node's share even. kFenced: this node was ended. With any other error nothing is known to have
  /// changed, and what was held is held until `valid_until` of the last answer.
  virtual async::Task<Result<Leases>> renew(LeaseRequest request) = 0;
  /// After kFenced: becomes a node again, which holds nothing yet. Nothing begun before it is still
  /// waiting to be written when it returns.
  virtual async::Task<Result<void>> rejoin() = 0;
  /// Grows when a node has changed what others keep in memory: stops, keys, budgets.
  virtual async::Task<Result<std::uint64_t>> changes() = 0;
  /// The epoch of this node.
  virtual std::uint64_t self() const = 0;
};

}  // namespace perdure::journal
