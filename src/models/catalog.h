// Which providers and pools answer for a model name.
//
// Built once from the configuration ([[provider]], [[pool]], [[model]]) or from what was detected
// at start; immutable afterwards. A pool is capacity of a provider with limits of its own; every
// provider has one of its name, which is all there is where nobody configures pools. A name that
// matches no [[model]] goes to the default provider as it is. Which pool a call goes to is the
// router's choice (router.h).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "models/price.h"
#include "models/provider.h"

namespace perdure::models {

/// How capacity is paid for, which decides who is asked first.
enum class PoolClass { kReserved, kOnDemand, kFlex, kBatch, kLocal };

std::string_view to_string(PoolClass pool_class);
std::optional<PoolClass> pool_class_from(std::string_view word);

struct PoolEntry {
  std::string name;
  std::string provider;
  std::string upstream;  ///< empty: the model's
  int weight = 1;        ///< of pools with the same priority
  int priority = 0;      ///< lower ones are asked first
  PoolClass pool_class = PoolClass::kOnDemand;
  std::int64_t context_window = 0;  ///< tokens, 0: the model's
  // Limits; 0: none.
  int max_in_flight = 0;
  std::int64_t requests_per_minute = 0;
  std::int64_t tokens_per_minute = 0;
  std::optional<Price> price;  ///< of its tokens, whatever the model; none: see Catalog::resolve
  // Of reserved capacity.
  int units = 0;                        ///< 0: not told, which counts as one
  std::optional<Money> price_per_hour;  ///< of one unit, used or not
};

/// What a reservation costs in 24 hours, used or not; none where its price is not told. Saturates.
std::optional<Money> cost_per_day(const PoolEntry& pool);

/// How a provider's calls are made, whatever pool they go through.
struct CallRules {
  int attempts = 3;  ///< per model call, the first included
  int retry_percent = 10;
  int retry_floor = 10;                 ///< repeated calls a minute beside the percentage
  std::int64_t total_ms = 30 * 60'000;  ///< one attempt from its sending to its end
};

struct ModelEntry {
  std::string name;                    ///< what clients ask for
  std::string provider;                ///< name of a provider: the short form of its pool
  std::string upstream;                ///< what the provider is asked for
  std::int64_t context_window = 0;     ///< tokens, 0: unknown
  std::optional<Price> price;          ///< where a pool has none; none: what it costs is not known
  std::int64_t max_output_tokens = 0;  ///< of one answer, 0: the provider's limit
  /// For models too small to decide on tools themselves: a message that names a tool makes the
  /// model call it, and without such a message it calls none.
  bool name_tools = false;
  std::vector<std::string> pools;  ///< names of pools; empty: the provider's own
};

/// A pool that may answer for a model.
struct ResolvedPool {
  const PoolEntry* entry;
  std::optional<Price> price;  ///< of the model's tokens there; none: nobody knows
};

struct Resolved {
  Provider* provider = nullptr;     ///< of the first pool
  std::vector<ResolvedPool> pools;  ///< never empty
  std::string upstream;
  std::int64_t context_window = 0;
  bool name_tools = false;
  std::int64_t max_output_tokens = 0;

  // What holds in one of the pools.
  std::optional<Price> price_in(std::string_view pool) const;
  const std::string& upstream_in(const PoolEntry& pool) const;
  std::int64_t window_in(const PoolEntry& pool) const;
};

class Catalog {
 public:
  /// The first provider is the default. `pools` beside those that every provider has: one with a
  /// provider's name takes its place. `rules` by provider; the defaults hold for others.
  /// kInvalidArgument where a model or pool names what is not there.
  static Result<Catalog> make(std::vector<std::unique_ptr<Provider>> providers,
                              std::vector<ModelEntry> models, std::vector<PoolEntry> pools = {},
                              std::map<std::string, CallRules, std::less<>> rules = {});

  /// kNotFound when there is no provider at all. A pool's tokens cost its own price; where it has
  /// none nothing if they are paid by the hour, else the model's price, and where that has none
  /// either nothing if the provider is free.
  Result<Resolved> resolve(std::string_view model) const;
  const std::vector<std::unique_ptr<Provider>>& providers() const { return providers_; }
  const std::map<std::string, ModelEntry, std::less<>>& models() const { return models_; }
  /// Every provider's own pool, then the configured ones, in order.
  const std::vector<std::unique_ptr<PoolEntry>>& pools() const { return pools_; }
  Provider* provider(std::string_view name) const;
  CallRules rules(std::string_view provider) const;

 private:
  Result<void> add_pools(std::vector<PoolEntry> pools);
  const PoolEntry* pool(std::string_view name) const;
  std::optional<Price> price(const PoolEntry& pool, const std::optional<Price>& of_model) const;

  std::vector<std::unique_ptr<Provider>> providers_;
  std::map<std::string, ModelEntry, std::less<>> models_;
  std::vector<std::unique_ptr<PoolEntry>> pools_;
  std::map<std::string, CallRules, std::less<>> rules_;
};

}  // namespace perdure::models
