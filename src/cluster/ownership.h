// Which sessions this process may work on: asked by the engine before it lets anybody use what it
// has in memory. A server alone with its store owns them all; a node of many those of the shards it
// holds, as long as it can be sure that no other node has taken them (membership.h).
#pragma once

#include "base/error.h"
#include "base/ids.h"
#include "journal/shards.h"

namespace perdure::cluster {

/// The `reason` of a kUnavailable: another node works on the session, or is about to.
inline constexpr std::string_view kElsewhere = "elsewhere";

class Ownership {
 public:
  virtual ~Ownership() = default;
  /// kUnavailable where this node does not hold the session's shard (reason kElsewhere), or cannot
  /// be sure to.
  virtual Result<void> may_use(const SessionKey& key) const = 0;
  /// The shards whose sessions are this node's to wake.
  virtual journal::Shards held() const = 0;
};

/// A server that has its store for itself.
class OwnsAll final : public Ownership {
 public:
  Result<void> may_use(const SessionKey&) const override { return {}; }
  journal::Shards held() const override { return journal::all_shards(); }
};

}  // namespace perdure::cluster
