#include "models/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace perdure::models {
namespace {

constexpr std::array<std::pair<PoolClass, std::string_view>, 5> kClasses = {
    {{PoolClass::kReserved, "reserved"},
     {PoolClass::kOnDemand, "on_demand"},
     {PoolClass::kFlex, "flex"},
     {PoolClass::kBatch, "batch"},
     {PoolClass::kLocal, "local"}}};

Provider* find_provider(const std::vector<std::unique_ptr<Provider>>& providers,
                        std::string_view name) {
  auto found = std::ranges::find(providers, name, [](const auto& p) { return p->name(); });
  return found == providers.end() ? nullptr : found->get();
}

}  // namespace

std::string_view to_string(PoolClass pool_class) {
  return std::ranges::find(kClasses, pool_class, &decltype(kClasses)::value_type::first)->second;
}

std::optional<PoolClass> pool_class_from(std::string_view word) {
  auto found = std::ranges::find(kClasses, word, &decltype(kClasses)::value_type::second);
  if (found == kClasses.end()) return std::nullopt;
  return found->first;
}

std::optional<Money> cost_per_day(const PoolEntry& pool) {
  if (!pool.price_per_hour) return std::nullopt;
  using Wide = __int128;
  const Wide cost = static_cast<Wide>(*pool.price_per_hour) * std::max(pool.units, 1) * 24;
  return static_cast<Money>(std::min<Wide>(cost, std::numeric_limits<Money>::max()));
}

std::optional<Price> Resolved::price_in(std::string_view pool) const {
  auto found =
      std::ranges::find(pools, pool, [](const ResolvedPool& one) { return one.entry->name; });
  return found == pools.end() ? std::nullopt : found->price;
}

const std::string& Resolved::upstream_in(const PoolEntry& pool) const {
  return pool.upstream.empty() ? upstream : pool.upstream;
}

std::int64_t Resolved::window_in(const PoolEntry& pool) const {
  return pool.context_window > 0 ? pool.context_window : context_window;
}

Result<Catalog> Catalog::make(std::vector<std::unique_ptr<Provider>> providers,
                              std::vector<ModelEntry> models, std::vector<PoolEntry> pools,
                              std::map<std::string, CallRules, std::less<>> rules) {
  for (std::size_t i = 0; i < providers.size(); ++i) {
    if (find_provider(providers, providers[i]->name()) != providers[i].get())
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("Two providers are named '{}'.", providers[i]->name()), "provider");
  }
  Catalog catalog;
  catalog.providers_ = std::move(providers);
  catalog.rules_ = std::move(rules);
  TRY_VOID(catalog.add_pools(std::move(pools)));
  for (ModelEntry& model : models) {
    if (model.name.empty())
      return fail(ErrorCode::kInvalidArgument, "A model has no name.", "model");
    if (model.pools.empty()) {
      if (!catalog.provider(model.provider))
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("The model '{}' names the provider '{}', which is not configured.",
                                model.name, model.provider),
                    "model");
      model.pools = {model.provider};
    }
    for (const std::string& pool : model.pools)
      if (!catalog.pool(pool))
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("The model '{}' names the pool '{}', which is not configured.",
                                model.name, pool),
                    "model");
    model.provider = catalog.pool(model.pools.front())->provider;
    if (model.upstream.empty()) model.upstream = model.name;
    std::string name = model.name;
    if (!catalog.models_.emplace(name, std::move(model)).second)
      return fail(ErrorCode::kInvalidArgument, fmt::format("Two models are named '{}'.", name),
                  "model");
  }
  return catalog;
}

Result<void> Catalog::add_pools(std::vector<PoolEntry> pools) {
  for (const auto& provider : providers_) {
    PoolEntry own;
    own.name = own.provider = provider->name();
    pools_.push_back(std::make_unique<PoolEntry>(std::move(own)));
  }
  std::vector<std::string> seen;
  for (PoolEntry& pool : pools) {
    if (pool.name.empty()) return fail(ErrorCode::kInvalidArgument, "A pool has no name.", "pool");
    if (!provider(pool.provider))
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The pool '{}' names the provider '{}', which is not configured.",
                              pool.name, pool.provider),
                  "pool");
    if (std::ranges::find(seen, pool.name) != seen.end())
      return fail(ErrorCode::kInvalidArgument, fmt::format("Two pools are named '{}'.", pool.name),
                  "pool");
    seen.push_back(pool.name);
    auto own = std::ranges::find(pools_, pool.name, [](const auto& known) { return known->name; });
    if (own == pools_.end()) {
      pools_.push_back(std::make_unique<PoolEntry>(std::move(pool)));
      continue;
    }
    if (pool.provider != pool.name)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The pool '{0}' is not of the provider '{0}', whose own pool has "
                              "that name.",
                              pool.name),
                  "pool");
    **own = std::move(pool);
  }
  return {};
}

Result<Resolved> Catalog::resolve(std::string_view model) const {
  if (providers_.empty())
    return fail(ErrorCode::kNotFound, "No model provider is configured.", "model");
  Resolved resolved;
  auto add = [&](std::string_view name, const std::optional<Price>& of_model) {
    const PoolEntry* entry = pool(name);
    resolved.pools.push_back({entry, price(*entry, of_model)});
  };
  if (auto entry = models_.find(model); entry != models_.end()) {
    const ModelEntry& found = entry->second;
    resolved.upstream = found.upstream;
    resolved.context_window = found.context_window;
    resolved.name_tools = found.name_tools;
    resolved.max_output_tokens = found.max_output_tokens;
    for (const std::string& name : found.pools) add(name, found.price);
  } else {
    resolved.upstream = model;
    add(providers_.front()->name(), std::nullopt);
  }
  resolved.provider = provider(resolved.pools.front().entry->provider);
  return resolved;
}

std::optional<Price> Catalog::price(const PoolEntry& pool,
                                    const std::optional<Price>& of_model) const {
  if (pool.price) return pool.price;
  if (pool.price_per_hour) return Price{};
  if (!of_model && provider(pool.provider)->is_free()) return Price{};
  return of_model;
}

Provider* Catalog::provider(std::string_view name) const {
  return find_provider(providers_, name);
}

const PoolEntry* Catalog::pool(std::string_view name) const {
  auto found = std::ranges::find(pools_, name, [](const auto& known) { return known->name; });
  return found == pools_.end() ? nullptr : found->get();
}

CallRules Catalog::rules(std::string_view provider) const {
  auto found = rules_.find(provider);
  return found == rules_.end() ? CallRules{} : found->second;
}

}  // namespace perdure::models
