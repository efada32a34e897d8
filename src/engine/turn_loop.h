// The turn loop: what the engine does next, as one readable function.
//
//            input                      no calls
//   (idle) ─────────▶ turn ─▶ model call ─────────▶ turn ends ─▶ (idle, or the next turn)
//                      ▲        │ calls
//                      │        ▼
//                      │   decide each ─┬─ the client's function: wait for its result ─┐
//                      │                ├─ one that runs on: nothing to wait for ──────┤
//                      │                ├─ a search for functions: answered here ──────┤
//                      │                ├─ our tool: start the effect ─────────────────┤
//                      │                └─ nobody's, or refused: say so ───────────────┤
//                      │                ├─ a server's tool: likewise ──────────────────┤
//                      └───────────────────────────── all answered ◀───────────────────┘
//
// Before a model call the lists of tools that are due are asked for, also as effects, and a context
// that would not fit into the model's window is compacted by calls of its own (compaction.h).
// Every arrow is a journal entry. `advance` adds entries to a batch until something outside must
// happen first — a model answers, a tool ends, a client sends a result, a timer fires — and
// returns. It starts nothing itself: the actor starts what the committed entries name. A turn of a
// stopped session ends here as failed, whatever it waits for; input that waited for it is placed
// first, so that the conversation keeps it and nothing begins by itself when the stop is lifted.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/batch.h"
#include "models/router.h"
#include "policy/policy.h"
#include "policy/stops.h"
#include "tools/registry.h"

namespace perdure::engine {

/// How far a running model call has got.
struct CallProgress {
  bool unsent = false;  ///< it waits to be sent
  bool died = false;    ///< another process ran it: nobody knows
  bool shown = false;   ///< the message that it streams has begun
  std::string text;     ///< of that message
  std::uint32_t position = 0;
};

/// What waits in SessionState::queued, as the model will read it.
struct QueuedInput {
  std::vector<models::ContentPart> parts;
  bool is_result = false;  ///< of an async function's call; else a user's message
};

struct TurnLoopParts {
  models::Router& router;
  const models::Catalog& models;
  policy::Policy& policy;
  Budgets& budgets;
  tools::Registry& tools;
  int max_model_calls_per_turn;
  /// The input that an entry in SessionState::queued holds.
  std::function<QueuedInput(std::uint64_t seq)> queued_input;
  bool retry_due = false;  ///< the pause before the next attempt is over
  /// Set: an operator has stopped the session, and a turn ends instead of going on.
  const policy::Stop* stop = nullptr;
  CallProgress progress;  ///< with `stop`: of the running model call
};

Result<void> advance(Batch& batch, const TurnLoopParts& parts);

/// A user's message: into the running turn where its next model call has not started, else queued,
/// else as a new turn.
Result<void> add_message(Batch& batch, std::vector<models::ContentPart> parts);

/// Ends the running turn, and what runs in it, as cancelled.
Result<void> add_cancel(Batch& batch, const CallProgress& progress);

/// Whether a call's arguments can be decided on and executed: one JSON object that no two readers
/// take differently. The error is a sentence for the model.
Result<void> check_arguments(std::string_view arguments);

/// The key under which a target may recognise a repeated effect.
std::string effect_key(const SessionKey& session, std::string_view call);

}  // namespace perdure::engine
