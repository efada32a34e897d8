// What the engine tells the router about a model call, and what becomes of the router's answer.
//
// Pure functions over a session's state and a batch; the router itself is in src/models. The size
// of the context is an estimate that the fold carries along, so that a pool can be chosen before
// the context is read: what the last answer's usage said, and a quarter of the bytes that came
// since.
#pragma once

#include "engine/batch.h"
#include "models/router.h"

namespace perdure::engine {

models::RouteQuery route_query(const SessionState& state);

/// A call that no pool can take now: an intent that names none and its end at once, with a timer
/// for the next look. False where the turn must fail with `route.failure` instead: another look
/// would not help, or there were too many.
/// `compaction`: the call is one that summarises.
Result<bool> add_waiting_call(Batch& batch, const models::Route& route, DecisionRecord decision,
                              std::optional<CompactionTerms> compaction = {});

/// An attempt's end: fills in whether and when the call is made again, and adds the timer.
/// `may_go_on`: nobody has stopped the session.
void decide_what_follows(Batch& batch, models::Router& router, const models::ModelFailure& failure,
                         bool may_go_on, ModelCallAbandonedBody& body);

// The fold's part: how many tokens the model will read, and which abilities it needs for it.
std::int64_t tokens_of(const AgentConfig& agent);
std::int64_t tokens_of_text(std::size_t bytes);
void note_message(SessionState& state, const std::vector<models::ContentPart>& parts);
void count_answer(SessionState& state, const ModelCallFinishedBody& body);
void note_abandoned(TurnState& turn, const OpenModelCall& call, const ModelCallAbandonedBody& body);

}  // namespace perdure::engine
