// Which pool a model call goes to and why, as values: what the router decides and the journal
// keeps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/provider.h"

namespace perdure::models {

/// A pool as the router looked at it for one call.
struct Candidate {
  std::string pool;
  int rank = 0;          ///< from 1, the chosen one; 0: rejected
  std::string rejected;  ///< why, as words for a person
  bool operator==(const Candidate&) const = default;
};

/// An attempt of this call that gave no answer.
struct Tried {
  std::string pool;
  std::string code;  ///< the failure's; empty: nothing was sent, because the pool had no room
  bool operator==(const Tried&) const = default;
};

/// What the choice depends on.
struct RouteQuery {
  std::string model;              ///< what the client asked for
  std::string session;            ///< equal ones go to the same pool
  Capabilities needs;             ///< what the request uses
  std::string service_tier;       ///< "", flex, priority …
  std::int64_t input_tokens = 0;  ///< an estimate, 0: unknown
  std::vector<Tried> tried;
};

struct Route {
  std::string pool;      ///< empty: none can take the call
  std::string provider;  ///< its provider
  std::string upstream;  ///< what the provider is asked for
  std::vector<Candidate> candidates;
  /// Without a pool: when to look again, or 0 where that would not help, with the failure.
  std::int64_t wait_ms = 0;
  ModelFailure failure;
};

}  // namespace perdure::models
