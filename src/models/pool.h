// One pool at work: who may call now, who waits, and how it does.
//
// A call is admitted when the pool's limits (calls in flight, requests and tokens a minute) leave
// room, its breaker lets calls through and no rate limit holds it back; until then it waits. The
// queue is fair: projects take turns, and within a project who came first goes first. Calls that a
// crash restarts wait in the same queue and are let through a few at a time at first. A call is
// turned away, with nothing sent, when waiting makes no sense: the breaker opens, the provider's
// retry budget is spent, or reserved capacity is full and another pool may take the call.
//
// Owned by the router, shared with the calls that run; lives on the engine's loop. A lease is the
// right to one call: `settle` says how the call ended, and a lease that is dropped without it
// counts as cancelled. Nothing here is durable: a new process starts with closed breakers and full
// buckets.
#pragma once

#include <deque>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "async/cancel.h"
#include "async/signal.h"
#include "models/breaker.h"
#include "models/catalog.h"
#include "models/rate_bucket.h"
#include "models/retry_budget.h"

namespace perdure::models {

/// A call that wants to be made.
struct CallTicket {
  std::string project;
  std::int64_t tokens = 0;  ///< an estimate of what it reads and writes
  bool restarted = false;   ///< after a crash, together with many others
  bool retry = false;       ///< its provider has failed it before
  bool may_move = false;    ///< another pool may take it
};

/// What an operator sees of a pool.
struct PoolStatus {
  const PoolEntry* entry = nullptr;
  std::string state;  ///< "ready", "full", "rate_limited", "open", "half_open"
  std::string breaker;
  int in_flight = 0;
  int waiting = 0;
  std::uint64_t calls = 0;
  std::uint64_t failures = 0;
  std::uint64_t rate_limited = 0;
  std::uint64_t turned_away = 0;
  std::int64_t recent_calls = 0;  ///< of the last minute
  std::int64_t recent_failures = 0;
  std::int64_t back_in_ms = 0;  ///< of a pool that is open or rate limited
  std::string last_error_code;  ///< empty: none yet
  std::string last_error;
  UnixMillis last_error_at = 0;
};

class Pool : public std::enable_shared_from_this<Pool> {
 public:
  using Answer = std::expected<ModelOutput, ModelFailure>;

  class Lease {
   public:
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    void settle(const Answer& answer);

   private:
    friend class Pool;
    Lease(std::shared_ptr<Pool> pool, const CallTicket& ticket, bool probe)
        : pool_(std::move(pool)),
          tokens_(ticket.tokens),
          restarted_(ticket.restarted),
          probe_(probe) {}
    std::shared_ptr<Pool> pool_;
    std::int64_t tokens_;
    bool restarted_;
    bool probe_;
  };

  /// All outlive the pool and its leases; `budget` is its provider's.
  Pool(const PoolEntry& entry, Provider& provider, CallRules rules,
       std::shared_ptr<RetryBudget> budget, Env& env, async::Executor executor);

  const PoolEntry& entry() const { return entry_; }
  Provider& provider() const { return provider_; }
  const CallRules& rules() const { return rules_; }

  /// Waits for its turn. A failure that is `unsent` where the call was turned away; "cancelled".
  async::Task<std::expected<Lease, ModelFailure>> admit(CallTicket ticket,
                                                        async::CancelToken cancel);

  // What the choice of a pool looks at.
  /// Milliseconds until the breaker lets a probe through; 0: it does, or is closed.
  std::int64_t open_for() { return breaker_.closed_for(env_.now()); }
  /// Half open, with its probe under way.
  bool probing();
  std::int64_t paused_for();
  bool allows_retry() { return budget_->allows(env_.now()); }
  /// A call of so many tokens would have to wait for room.
  bool full(std::int64_t tokens);
  int load() const { return in_flight_ + waiting(); }

  PoolStatus status();

 private:
  struct Waiter {
    explicit Waiter(const async::Executor& executor) : turn(executor) {}
    CallTicket ticket;
    std::uint64_t number = 0;
    async::Signal turn;
    std::optional<Lease> lease;
    std::optional<ModelFailure> refusal;
  };
  using WaiterPtr = std::shared_ptr<Waiter>;
  struct Line {
    std::deque<WaiterPtr> fresh;
    std::deque<WaiterPtr> restarted;
  };

  int waiting() const { return waiting_; }
  ModelFailure broken() const;
  std::optional<ModelFailure> refusal(const CallTicket& ticket);
  /// Lets through whoever may go, and says when to look again (-1: when a call ends).
  std::int64_t pump();
  /// Milliseconds until a call may go as far as the clock decides; -1: a call must end first.
  std::int64_t wait_for_room(const CallTicket& ticket);
  /// The next in turn; nullptr: nobody who may go.
  std::deque<WaiterPtr>* next_line();
  void leave(const WaiterPtr& waiter, std::optional<ModelFailure> refusal);
  Lease lend(const CallTicket& ticket);
  void release(const Lease& lease, Breaker::Verdict verdict);
  void settle(const Lease& lease, const Answer& answer);
  void start_clock();
  static async::Task<> run_clock(std::shared_ptr<Pool> self);

  const PoolEntry entry_;  // its own: leases may end when the catalog is gone
  Provider& provider_;
  CallRules rules_;
  std::shared_ptr<RetryBudget> budget_;
  Env& env_;
  async::Executor executor_;

  Breaker breaker_;
  RateBucket requests_;
  RateBucket tokens_;
  UnixMillis paused_until_ = 0;
  std::int64_t pause_ms_ = 0;

  std::map<std::string, Line, std::less<>> lines_;  ///< by project
  std::string last_served_;
  int waiting_ = 0;
  std::uint64_t next_number_ = 0;
  int in_flight_ = 0;
  int restarted_in_flight_ = 0;
  int restarted_at_once_ = kRestartedAtOnce;
  async::Signal clock_;
  bool clock_runs_ = false;

  PoolStatus counted_;  ///< what of it is counted
};

}  // namespace perdure::models
