#include "models/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>
#include <utility>

#include "base/bytes.h"
#include "models/failure.h"

namespace perdure::models {
namespace {

/// Failures that say something about the account with a provider, not about the request.
bool about_the_account(std::string_view code) {
  static constexpr std::array<std::string_view, 7> kCodes = {"authentication_error",
                                                             "credit_balance_exhausted",
                                                             "usage_limit_exceeded",
                                                             "project_spend_limit_exceeded",
                                                             "organization_spend_limit_exceeded",
                                                             "organization_usage_limit_exceeded",
                                                             "billing_not_active"};
  return std::ranges::find(kCodes, code) != kCodes.end();
}

/// Whether a pool that has not failed this call could answer where this failure was the answer.
bool another_may_answer(const ModelFailure& failure) {
  return failure.retryable || about_the_account(failure.code) ||
         failure.code == "resource_not_found" || failure.code == "context_length_exceeded";
}

/// What is asked first among equal priorities.
int class_rank(PoolClass pool_class) {
  switch (pool_class) {
    case PoolClass::kReserved:
      return 0;
    case PoolClass::kOnDemand:
    case PoolClass::kLocal:
      return 1;
    case PoolClass::kFlex:
      return 2;
    case PoolClass::kBatch:
      return 3;
  }
  return 1;
}

/// Whether the pool is what a service tier asks for, where it asks for a class of capacity.
bool is_of_tier(PoolClass pool_class, std::string_view tier) {
  if (tier == "flex") return pool_class == PoolClass::kFlex || pool_class == PoolClass::kBatch;
  if (tier == "priority" || tier == "scale") return pool_class == PoolClass::kReserved;
  return false;
}

/// In (0, 1), the same for the same two names.
double share_of_hash(std::string_view session, std::string_view pool) {
  Digest digest = sha256(fmt::format("pool\n{}\n{}", session, pool));
  std::uint64_t number = 0;
  for (int i = 0; i < 8; ++i) number = number << 8 | digest[static_cast<std::size_t>(i)];
  return (static_cast<double>(number >> 11) + 0.5) / 9007199254740992.0;  // 2^53
}

std::string missing_capability(const Pool& pool, const RouteQuery& query) {
  Capabilities can = pool.provider().capabilities();
  const Capabilities& needs = query.needs;
  if (needs.images && !can.images) return "takes no images";
  if (needs.remote_images && !can.remote_images) return "takes no images by URL";
  if (needs.reasoning_summary && !can.reasoning_summary) return "gives no reasoning summaries";
  if (needs.verbosity && !can.verbosity) return "has no setting for verbosity";
  if (needs.service_tier && !can.service_tier &&
      !is_of_tier(pool.entry().pool_class, query.service_tier))
    return "has no service tiers";
  if (needs.penalties && !can.penalties) return "has no penalties for what was said";
  if (needs.cache_minutes > can.cache_minutes) return "cannot be asked to cache prompts so long";
  return {};
}

/// Why the pool has refused this call for good; empty: it has not.
std::string refused_for_good(const Pool& pool, const Pool* failed, const Tried& tried) {
  bool same_account = failed && failed->entry().provider == pool.entry().provider;
  if (about_the_account(tried.code) && same_account)
    return fmt::format("its provider refused the call: {}", tried.code);
  if (tried.code == "resource_not_found" && same_account &&
      failed->entry().upstream == pool.entry().upstream)
    return "its provider does not know the model";
  return {};
}

}  // namespace

struct Router::Ranked {
  Pool* pool;
  bool room;
  std::tuple<std::ptrdiff_t, bool, int, int, bool, double> order;  ///< the least is the first
};

Router::Router(const Catalog& catalog, Env& env, async::Executor executor)
    : catalog_(catalog), env_(env), executor_(std::move(executor)) {
  std::map<std::string, std::shared_ptr<RetryBudget>> budgets;
  for (const auto& entry : catalog.pools()) {
    CallRules rules = catalog.rules(entry->provider);
    auto& budget = budgets[entry->provider];
    if (!budget) budget = std::make_shared<RetryBudget>(rules.retry_percent, rules.retry_floor);
    pools_[entry->name] = std::make_shared<Pool>(*entry, *catalog.provider(entry->provider), rules,
                                                 budget, env_, executor_);
  }
}

Router::~Router() = default;

Pool* Router::pool(std::string_view name) const {
  auto found = pools_.find(name);
  return found == pools_.end() ? nullptr : found->second.get();
}

// ---- choosing ---------------------------------------------------------------------------------

/// Why the pool cannot take the call, empty if it can. `wait_ms`: when that may be different, -1
/// where it will not.
std::string Router::reject(Pool& pool, std::int64_t window, const RouteQuery& query,
                           std::int64_t* wait_ms) const {
  *wait_ms = -1;
  if (std::string missing = missing_capability(pool, query); !missing.empty()) return missing;
  for (const Tried& tried : query.tried) {
    Pool* failed = this->pool(tried.pool);
    if (std::string why = refused_for_good(pool, failed, tried); !why.empty()) return why;
    if (tried.code == "context_length_exceeded" && tried.pool == pool.entry().name)
      return "the context was too long for it";
  }
  if (window > 0 && query.input_tokens > window)
    return fmt::format("its context window of {} tokens is too small for about {}", window,
                       query.input_tokens);
  if (std::int64_t open = pool.open_for(); open > 0) {
    *wait_ms = open;
    return fmt::format("its breaker is open for {} ms", open);
  }
  if (std::int64_t pause = pool.paused_for(); pause > kLongestQueuedPauseMs) {
    *wait_ms = pause;
    return fmt::format("it asked for a pause of {} ms", pause);
  }
  if (is_retry(pool.entry().name, query.tried) && !pool.allows_retry()) {
    *wait_ms = kLookAgainMs;
    return "its provider has had its share of repeated calls";
  }
  return {};
}

Route Router::route(const RouteQuery& query) {
  Route none;
  auto resolved = catalog_.resolve(query.model);
  if (!resolved) {
    none.failure.code = "resource_not_found";
    none.failure.message = resolved.error().message;
    return none;
  }
  std::vector<Candidate> rejected;
  std::vector<Pool*> healthy;
  Pool* widest = nullptr;  // of those that are rejected by the estimate alone
  std::int64_t widest_window = 0, soonest = -1, largest_failed = -1;
  for (const Tried& tried : query.tried)
    if (Pool* failed = pool(tried.pool); failed && tried.code == "context_length_exceeded")
      largest_failed = std::max(largest_failed, resolved->window_in(failed->entry()));
  for (const auto& [entry, price] : resolved->pools) {
    Pool* candidate = pool(entry->name);
    std::int64_t window = resolved->window_in(*entry), wait = -1;
    std::string why = reject(*candidate, window, query, &wait);
    if (why.empty() && largest_failed >= 0 && window <= largest_failed)
      why = "its context window is no larger than one that was too small";
    if (why.empty()) {
      healthy.push_back(candidate);
      continue;
    }
    rejected.push_back({entry->name, 0, why});
    if (wait >= 0 && (soonest < 0 || wait < soonest)) soonest = wait;
    RouteQuery without_estimate = query;
    without_estimate.input_tokens = 0;
    if (largest_failed < 0 && window > widest_window && query.input_tokens > window &&
        reject(*candidate, window, without_estimate, &wait).empty()) {
      widest = candidate;
      widest_window = window;
    }
  }
  // An estimate may be wrong: where nothing else is left, the widest window is tried.
  if (healthy.empty() && soonest < 0 && widest) {
    std::erase_if(rejected, [&](const Candidate& c) { return c.pool == widest->entry().name; });
    healthy.push_back(widest);
  }
  if (!healthy.empty()) return chosen(*resolved, query, std::move(rejected), healthy);

  none.candidates = std::move(rejected);
  none.failure.code = soonest >= 0 ? "server_overloaded" : "invalid_request";
  none.failure.message = fmt::format("No capacity can take the model call of '{}':", query.model);
  for (const Candidate& candidate : none.candidates)
    none.failure.message += fmt::format(" '{}': {};", candidate.pool, candidate.rejected);
  none.failure.message.back() = '.';
  if (soonest >= 0) none.wait_ms = jittered(soonest);
  return none;
}

std::vector<Router::Ranked> Router::rank(const std::vector<Pool*>& pools,
                                         const RouteQuery& query) const {
  bool tier_offered = std::ranges::any_of(pools, [&](const Pool* pool) {
    return is_of_tier(pool->entry().pool_class, query.service_tier);
  });
  std::vector<Ranked> ranked;
  for (Pool* pool : pools) {
    const PoolEntry& entry = pool->entry();
    std::ptrdiff_t times = std::ranges::count(query.tried, entry.name, &Tried::pool);
    // The group shares its load by weight; nobody takes much more than that (a quarter).
    int load = 1, weights = 0;
    for (const Pool* other : pools)
      if (other->entry().priority == entry.priority &&
          class_rank(other->entry().pool_class) == class_rank(entry.pool_class)) {
        load += other->load();
        weights += other->entry().weight;
      }
    double share = std::ceil(1.25 * load * entry.weight / weights);
    bool room = !pool->full(query.input_tokens) && !pool->probing() && pool->paused_for() == 0;
    bool crowded = !room || pool->load() >= share;
    double score = -entry.weight / std::log(share_of_hash(query.session, entry.name));
    bool other_tier = tier_offered && !is_of_tier(entry.pool_class, query.service_tier);
    ranked.push_back(
        {pool,
         room,
         {times, other_tier, entry.priority, class_rank(entry.pool_class), crowded, -score}});
  }
  std::ranges::sort(ranked, {}, &Ranked::order);
  return ranked;
}

Route Router::chosen(const Resolved& resolved, const RouteQuery& query,
                     std::vector<Candidate> rejected, const std::vector<Pool*>& healthy) const {
  std::vector<Ranked> ranked = rank(healthy, query);
  // Some are not waited for while anything else is left.
  auto why_not = [](const Ranked& one) -> std::string_view {
    if (one.pool->probing()) return "it is being tried out";
    if (one.pool->paused_for() > 0) return "it is rate limited";
    bool reserved = one.pool->entry().pool_class == PoolClass::kReserved;
    return reserved && !one.room ? "it is full" : "";
  };
  if (!std::ranges::all_of(ranked, [&](const Ranked& one) { return !why_not(one).empty(); }))
    std::erase_if(ranked, [&](const Ranked& one) {
      std::string why(why_not(one));
      if (!why.empty()) rejected.push_back({one.pool->entry().name, 0, why});
      return !why.empty();
    });
  const PoolEntry& first = ranked.front().pool->entry();
  Route route;
  route.pool = first.name;
  route.provider = first.provider;
  route.upstream = resolved.upstream_in(first);
  for (std::size_t i = 0; i < ranked.size(); ++i)
    route.candidates.push_back({ranked[i].pool->entry().name, static_cast<int>(i) + 1, {}});
  std::ranges::move(rejected, std::back_inserter(route.candidates));
  return route;
}

// ---- after a failure --------------------------------------------------------------------------

std::int64_t Router::jittered(std::int64_t milliseconds) const {
  // Those who wait for the same moment do not all come at it.
  std::int64_t spread = std::max<std::int64_t>(milliseconds / 4, 100);
  return milliseconds + 1 + static_cast<std::int64_t>(env_.random_u64() % spread);
}

Router::Next Router::after_failure(const RouteQuery& query, const std::string& pool,
                                   const ModelFailure& failure, int failed_attempts) {
  if (!another_may_answer(failure)) return {};
  Route other = route(query);
  bool fresh = !other.pool.empty() && std::ranges::none_of(query.tried, [&](const Tried& tried) {
    return tried.pool == other.pool && !tried.code.empty();
  });
  if (fresh) return {.elsewhere = true};
  Pool* failed = this->pool(pool);
  int attempts = failed ? failed->rules().attempts : CallRules{}.attempts;
  if (!failure.retryable || failed_attempts >= attempts) return {};
  // Full jitter: any pause up to the bound, which doubles.
  std::int64_t bound =
      std::min(kFirstRetryMs << std::min(failed_attempts - 1, 16), kLongestRetryMs);
  std::int64_t pause = 1 + static_cast<std::int64_t>(env_.random_u64() % bound);
  if (failure.retry_after_ms > 0)
    pause =
        std::min(jittered(std::min(failure.retry_after_ms, kMaxRetryAfterMs)), kMaxRetryAfterMs);
  return {.pause_ms = pause};
}

bool Router::is_retry(const std::string& pool, const std::vector<Tried>& tried) const {
  const Pool* own = this->pool(pool);
  return own && std::ranges::any_of(tried, [&](const Tried& one) {
           const Pool* failed = this->pool(one.pool);
           return failed && !one.code.empty() && failed->entry().provider == own->entry().provider;
         });
}

// ---- calls ------------------------------------------------------------------------------------

async::Task<std::expected<Pool::Lease, ModelFailure>> Router::admit(std::string pool,
                                                                    CallTicket ticket,
                                                                    async::CancelToken cancel) {
  auto found = pools_.find(pool);
  if (found == pools_.end()) {
    ModelFailure failure;
    failure.code = "server_overloaded";
    failure.message = fmt::format("There is no pool '{}' any more.", pool);
    failure.retryable = failure.unsent = true;
    co_return std::unexpected(std::move(failure));
  }
  std::shared_ptr<Pool> own = found->second;
  co_return co_await own->admit(std::move(ticket), std::move(cancel));
}

Result<Capabilities> Router::capabilities(std::string_view model) const {
  TRY(resolved, catalog_.resolve(model));
  Capabilities all;
  for (const auto& [entry, price] : resolved.pools) {
    Capabilities can = catalog_.provider(entry->provider)->capabilities();
    all.reasoning_summary |= can.reasoning_summary;
    all.verbosity |= can.verbosity;
    all.images |= can.images;
    all.remote_images |= can.remote_images;
    all.service_tier |= can.service_tier || entry->pool_class == PoolClass::kFlex ||
                        entry->pool_class == PoolClass::kReserved;
    all.penalties |= can.penalties;
    all.cache_minutes = std::max(all.cache_minutes, can.cache_minutes);
  }
  return all;
}

std::vector<PoolStatus> Router::status() const {
  std::vector<PoolStatus> all;
  for (const auto& entry : catalog_.pools()) all.push_back(pools_.at(entry->name)->status());
  return all;
}

}  // namespace perdure::models
