// Chooses the pool of every model call, and paces the calls.
//
// `route` is asked before a call's intent is journaled and decides on what it sees then; `admit` is
// asked when the intent is durable and waits until the pool has room (pool.h). Between the two the
// world may have changed: then `admit` turns the call away, nothing was sent, and it is routed
// anew.
//
// Of a model's pools those are rejected that cannot take the request (a capability, a context
// window that is too small), that have refused it already for a reason that stays, whose breaker is
// open, that must pause, or whose provider has had its share of repeated calls. What is left is
// ranked:
//   1. pools that have not failed this call before those that have,
//   2. where a service tier is asked for, pools of that class,
//   3. the lower priority number,
//   4. reserved capacity, then what is paid by use (on_demand, local), flex, batch,
//   5. pools with room before those at their limit or with more than their share of the load,
//   6. weighted rendezvous hashing of the session, so that its calls meet the same prompt cache.
// Passed over where another pool is left: reserved capacity that is full, a pool that pauses for a
// rate limit, and one that is being tried out. Owned by the engine, on its loop.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/pool.h"
#include "models/route.h"

namespace perdure::models {

class Router {
 public:
  /// All outlive the router.
  Router(const Catalog& catalog, Env& env, async::Executor executor);
  ~Router();
  Router(const Router&) = delete;

  Route route(const RouteQuery& query);

  /// What happens after an attempt has failed. `query.tried` has the failure already.
  struct Next {
    bool elsewhere = false;     ///< at once, as another pool can take it
    std::int64_t pause_ms = 0;  ///< > 0: again after this; both unset: not again
  };
  Next after_failure(const RouteQuery& query, const std::string& pool, const ModelFailure& failure,
                     int failed_attempts);

  /// nullptr where the configuration has no such pool any more.
  Pool* pool(std::string_view name) const;
  /// Waits for the pool's room. The failure says `unsent` where the call should be routed anew.
  async::Task<std::expected<Pool::Lease, ModelFailure>> admit(std::string pool, CallTicket ticket,
                                                              async::CancelToken cancel);
  /// Whether a call after these attempts is a repeated one for the pool's provider.
  bool is_retry(const std::string& pool, const std::vector<Tried>& tried) const;

  /// What at least one pool of the model can do; kNotFound where there is no provider.
  Result<Capabilities> capabilities(std::string_view model) const;
  std::vector<PoolStatus> status() const;

 private:
  struct Ranked;
  std::string reject(Pool& pool, std::int64_t window, const RouteQuery& query,
                     std::int64_t* wait_ms) const;
  std::vector<Ranked> rank(const std::vector<Pool*>& pools, const RouteQuery& query) const;
  Route chosen(const Resolved& resolved, const RouteQuery& query, std::vector<Candidate> rejected,
               const std::vector<Pool*>& healthy) const;
  std::int64_t jittered(std::int64_t milliseconds) const;

  const Catalog& catalog_;
  Env& env_;
  async::Executor executor_;
  std::map<std::string, std::shared_ptr<Pool>, std::less<>> pools_;
};

}  // namespace perdure::models
