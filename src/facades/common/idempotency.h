// Repeated requests: the same Idempotency-Key gives the same answer, and the work is done once.
//
// `begin` is called before the request acts. While its ticket lives, a
// second request with that key waits; then it finds the first one's stored answer, or, if the first
// failed and left nothing, becomes the first itself. The answer is stored by the engine, in the
// same commit as the work (ticket.record). Used on one loop. Nothing here survives a restart and
// nothing needs to: what must survive is in the store.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/signal.h"
#include "async/task.h"
#include "base/env.h"
#include "base/error.h"
#include "http/message.h"
#include "identity/caller.h"
#include "journal/journal.h"

namespace perdure::facades {

using async::Task;

/// Where stored answers are found; the composition root implements it over the journal.
class IdempotencyStore {
 public:
  virtual ~IdempotencyStore() = default;
  /// nullopt when unknown or expired at `now`.
  virtual Task<Result<std::optional<journal::IdempotencyRecord>>> find(
      journal::IdempotencyScope scope, UnixMillis now) = 0;
};

/// The request's key, or nullopt where it carries none. kInvalidArgument for a key that is empty,
/// longer than kMaxIdempotencyKey, or given twice.
Result<std::optional<std::string>> idempotency_key(const http::Request& request);

class Idempotency {
 private:
  struct Running;

 public:
  Idempotency(IdempotencyStore& store, Env& env) : store_(store), env_(env) {}
  Idempotency(const Idempotency&) = delete;

  /// The right to do a request's work, or the answer it got before.
  class Ticket {
   public:
    Ticket() = default;  ///< for a request without a key: do the work, keep nothing

    /// The answer given before; nullopt: do the work.
    const std::optional<journal::IdempotencyRecord>& answered() const { return answered_; }
    /// The request's key; nullptr where it carries none, or was answered before.
    const std::string* key() const { return draft_ ? &draft_->scope.key : nullptr; }
    /// What the engine must store with the work; nullopt for a request without a key.
    std::optional<journal::IdempotencyRecord> record(int status, std::string body,
                                                     const SessionId& session) const;

   private:
    friend class Idempotency;
    std::optional<journal::IdempotencyRecord> answered_;
    std::optional<journal::IdempotencyRecord> draft_;
    std::shared_ptr<void> turn_;  ///< lets the next one go when dropped
  };

  /// kConflict where the key was used with another body. `route` names method and path.
  Task<Result<Ticket>> begin(identity::Caller caller, std::string route, std::string key,
                             std::string canonical_body);

 private:
  using RunningMap = std::map<journal::IdempotencyScope, Running>;
  struct Running {
    std::vector<std::shared_ptr<async::Signal>> waiting;
  };

  IdempotencyStore& store_;
  Env& env_;
  std::shared_ptr<RunningMap> running_ = std::make_shared<RunningMap>();
};

}  // namespace perdure::facades
