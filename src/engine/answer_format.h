// Answers that must follow a schema (text.format): what becomes of one that does not.
//
// Providers hold models to a schema, some better than others. A model's final answer is checked
// here before it is one. One that does not satisfy the schema ends its call as abandoned, with what
// is wrong (`rejected`), and the same turn calls the model again: its answer and the complaint
// stand in the context from then on. After one such round the turn fails. Deltas of the rejected
// answer may have been seen; its item ends as incomplete. Calls of tools and refusals are no
// answers. Used by the actor on its loop, and by the fold.
#pragma once

#include <optional>
#include <string>

#include "engine/session_state.h"
#include "models/provider.h"

namespace perdure::engine {

/// What is wrong with the answer, for the model to read; nullopt: nothing.
struct Rejection {
  std::string complaint;
  std::string text;  ///< of the answer
};
std::optional<Rejection> check_answer(const AgentConfig& agent, const models::ModelOutput& output);

/// Writes into the end of the call what follows from it.
void reject(const TurnState& turn, Rejection rejection, ModelCallAbandonedBody& body);

/// What the model reads of its rejected answer.
std::string repair_request(std::string_view complaint);

// The fold's part: the call is made anew, with more to read.
void note_repair(SessionState& state, const ModelCallAbandonedBody& body);

}  // namespace perdure::engine
