// What an operator sees of the models: which pools answer for each, and how every pool does.
//
// A pure function of the values it is given. Errors are shown as the model layer tells them, which
// has no keys in them.
#pragma once

#include <string>
#include <vector>

#include "models/pool.h"

namespace perdure::facades::admin {

struct ModelPools {
  std::string name;
  std::vector<std::string> pools;
};

struct Capacity {
  std::vector<ModelPools> models;  ///< the configured ones
  std::vector<models::PoolStatus> pools;
};

/// {"models": [{name, pools}], "pools": [{name, provider, class, …, state, …}]}
std::string capacity_text(const Capacity& capacity);

}  // namespace perdure::facades::admin
