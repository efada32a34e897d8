// What an operator sees of the models: which pools answer for each and at what price, and how every
// pool does.
//
// A pure function of the values it is given. Errors are shown as the model layer tells them, which
// has no keys in them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/pool.h"

namespace perdure::facades::admin {

struct ModelPools {
  std::string name;
  models::Resolved resolved;
};

struct Capacity {
  std::vector<ModelPools> models;           ///< the configured ones
  std::optional<models::Resolved> unknown;  ///< a name that is none of theirs
  std::vector<models::PoolStatus> pools;
};

/// {"models": [{name, max_output_tokens, pools: [{name, provider, upstream, context_window,
/// price}]}],
///  "unknown_models": {pools} or null, "pools": [{name, provider, class, …, state, …}]}
/// Prices are dollars as text: of a million tokens, and null where nobody knows them.
std::string capacity_text(const Capacity& capacity);

}  // namespace perdure::facades::admin
