#include "engine/routing.h"

#include "engine/limits.h"
#include "engine/tool_search.h"

namespace perdure::engine {
namespace {

bool is_remote(const models::ContentPart& part) {
  return part.is_image() && !part.image_url.starts_with("data:");
}

}  // namespace

models::RouteQuery route_query(const SessionState& state) {
  const AgentConfig& agent = *state.agent;
  models::RouteQuery query;
  query.model = agent.model;
  query.session = state.key.session.value;
  query.needs.reasoning_summary = agent.reasoning_summary.has_value();
  query.needs.verbosity = agent.verbosity != "medium" && !agent.verbosity.empty();
  query.needs.images = state.images;
  query.needs.remote_images = state.remote_images;
  if (agent.service_tier != "auto" && agent.service_tier != "default")
    query.service_tier = agent.service_tier;
  query.needs.service_tier = !query.service_tier.empty();
  if (state.response) {
    const models::Sampling& sampling = state.response->settings.sampling;
    query.needs.penalties = sampling.presence_penalty || sampling.frequency_penalty;
  }
  query.input_tokens = state.context_tokens;
  if (!state.turn) return query;
  query.needs.cache_minutes = models::cache_minutes_of(state.turn->cache_ttl.value_or(""));
  query.tried = state.turn->tried;
  return query;
}

Result<bool> add_waiting_call(Batch& batch, const models::Route& route, DecisionRecord decision,
                              std::optional<CompactionTerms> compaction) {
  const TurnState& turn = *batch.state().turn;
  if (route.wait_ms <= 0 || turn.waits >= kMaxRouteWaits) return false;
  ModelCallStartedBody started{.turn = turn.seq,
                               .attempt = turn.failed_attempts + 1,
                               .model = batch.state().agent->model,
                               .context_through = batch.state().head,
                               .decision = std::move(decision)};
  started.route = route.candidates;
  started.compaction = compaction;
  TRY(seq,
      batch.add(compaction ? journal::kCompactionStarted : journal::kModelCallStarted, started));
  ModelCallAbandonedBody ended{.turn = batch.state().turn->seq, .call = seq};
  ended.error = {route.failure.code, route.failure.message};
  ended.unsent = true;
  ended.retry_at = batch.now() + route.wait_ms;
  TRY_VOID(
      batch.add(compaction ? journal::kCompactionAbandoned : journal::kModelCallAbandoned, ended));
  batch.set_timers.push_back({"retry", ended.retry_at, "{}"});
  return true;
}

void decide_what_follows(Batch& batch, models::Router& router, const models::ModelFailure& failure,
                         bool may_go_on, ModelCallAbandonedBody& body) {
  const TurnState& turn = *batch.state().turn;
  body.unsent = failure.unsent;
  if (!may_go_on) return;
  if (failure.unsent) {
    body.rerouted = turn.waits < kMaxRouteWaits;
    return;
  }
  models::RouteQuery query = route_query(batch.state());
  if (turn.model_call->compaction) query.input_tokens = turn.model_call->estimate.input_tokens;
  const std::string& pool = turn.model_call->pool;
  query.tried.push_back({pool, failure.code});
  models::Router::Next next = router.after_failure(query, pool, failure, turn.failed_attempts + 1);
  body.rerouted = next.elsewhere;
  if (next.pause_ms <= 0) return;
  body.retry_at = batch.now() + next.pause_ms;
  batch.set_timers.push_back({"retry", body.retry_at, "{}"});
}

// ---- the fold's part --------------------------------------------------------------------------

std::int64_t tokens_of_text(std::size_t bytes) {
  return static_cast<std::int64_t>(bytes / 4) + 4;
}

std::int64_t tokens_of(const AgentConfig& agent) {
  std::size_t bytes = agent.instructions.value_or("").size();
  for (const models::FunctionTool& tool : listed_functions(agent))
    bytes += tool.name.size() + tool.description.size() + tool.parameters.size();
  return tokens_of_text(bytes);
}

void note_message(SessionState& state, const std::vector<models::ContentPart>& parts) {
  for (const models::ContentPart& part : parts) {
    state.context_tokens += part.is_image() ? kTokensPerImage : tokens_of_text(part.text.size());
    state.images = state.images || part.is_image();
    state.remote_images = state.remote_images || is_remote(part);
  }
}

void count_answer(SessionState& state, const ModelCallFinishedBody& body) {
  if (body.usage_known && body.usage.input_tokens > 0) {
    state.context_tokens = body.usage.total();
    return;
  }
  for (const FinishedItem& finished : body.items)
    state.context_tokens +=
        tokens_of_text(finished.item.text.size() + finished.item.arguments.size());
}

void note_abandoned(TurnState& turn, const OpenModelCall& call,
                    const ModelCallAbandonedBody& body) {
  if (body.lost) return;
  turn.retry_at = body.retry_at;
  if (body.retry_at == 0 && !body.rerouted && !body.compact) turn.failure = body.error;
  if (body.unsent) {
    turn.waits += 1;
    turn.model_calls -= 1;
  } else {
    turn.failed_attempts += 1;
  }
  if (!call.pool.empty())
    turn.tried.push_back({call.pool, body.unsent ? std::string() : body.error.code});
  if (!body.compact) return;
  turn.compaction.due = true;
  turn.compaction.overflows += 1;
  turn.tried.clear();  // what was too long for them will be shorter
}

}  // namespace perdure::engine
