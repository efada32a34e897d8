#include "engine/turn_loop.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/raw_json.h"

namespace perdure::engine {
namespace {

/// Adds the ends of what runs in the turn; it was "cancelled", or "stopped".
Result<void> close_what_runs(Batch& batch, const std::optional<ShownText>& shown,
                             std::string_view how);

class TurnLoop {
 public:
  TurnLoop(Batch& batch, const TurnLoopParts& parts) : batch_(batch), parts_(parts) {}

  Result<void> advance() {
    while (true) {
      const SessionState& state = batch_.state();
      if (state.error) return {};
      if (!state.turn) {
        if (state.queued.empty()) return {};
        TRY_VOID(begin_turn());
        continue;
      }
      const TurnState& turn = *state.turn;
      if (!turn.undecided.empty()) {
        TRY_VOID(decide(turn.undecided.front()));
        continue;
      }
      if (parts_.stop && !turn.finished) {
        TRY_VOID(end_stopped());
        continue;
      }
      if (turn.model_call) return {};
      if (!turn.pending.empty() || !turn.effects.empty()) return {};
      if (turn.failure) {
        TRY_VOID(end_turn(TurnStatus::kFailed, turn.failure));
        continue;
      }
      if (turn.finished) {
        TRY_VOID(end_turn(TurnStatus::kCompleted, std::nullopt));
        continue;
      }
      if (turn.retry_at != 0 && !parts_.retry_due) return {};
      TRY(started, start_model_call());
      if (started) return {};
    }
  }

 private:
  Result<void> begin_turn() {
    TRY(seq, batch_.add(journal::kTurnCreated, TurnCreatedBody{}));
    TRY_VOID(place_queued());
    TRY_VOID(batch_.add(journal::kTurnStarted, TurnStartedBody{seq}));
    return {};
  }

  /// Inputs that came while the turn ran join it before its next model call.
  Result<void> place_queued() {
    std::vector<std::uint64_t> queued = batch_.state().queued;
    for (std::uint64_t seq : queued)
      TRY_VOID(batch_.add(journal::kUserMessage, UserMessageBody{batch_.state().turn->seq, seq,
                                                                 parts_.queued_parts(seq)}));
    return {};
  }

  Result<void> end_stopped() {
    TRY_VOID(close_what_runs(batch_, parts_.shown, "stopped"));
    TRY_VOID(place_queued());
    return end_turn(TurnStatus::kFailed, FailureInfo{"invalid_request", parts_.stop->sentence()},
                    parts_.stop->id);
  }

  /// A function call of the last response that is not simply the client's.
  Result<void> decide(OpenCall call) {
    const SessionState& state = batch_.state();
    std::uint64_t turn = state.turn->seq;
    auto refuse = [&](std::string reason) -> Result<void> {
      FunctionOutputBody body{.turn = turn, .call_id = call.call_id, .success = false};
      body.error = std::move(reason);
      body.by_engine = true;
      TRY_VOID(batch_.add(journal::kFunctionOutput, body));
      return {};
    };
    // What is decided on is what is executed: text that two readers could take differently is not
    // decided on at all.
    if (auto strict = check_strict_json(call.arguments, {.exact_numbers = true}); !strict)
      return refuse("The arguments were refused: " + strict.error().message);
    tools::Tool* tool = parts_.tools.find(call.name);
    if (!tool) return refuse("There is no tool named '" + call.name + "'.");

    policy::Decision decision =
        parts_.policy.decide({state.key, state.principal, policy::ActionKind::kToolCall, call.name,
                              call.arguments, state.agent->id, state.workstream});
    DecisionRecord record{std::string(policy::to_string(decision.verdict)), decision.rule};
    if (decision.verdict != policy::Verdict::kAllow) {
      TRY_VOID(batch_.add(journal::kEffectDenied,
                          EffectEndedBody{.turn = turn,
                                          .call_id = call.call_id,
                                          .output = "The call was denied: " + decision.reason,
                                          .decision = record}));
      return {};
    }
    EffectStartedBody body{
        .turn = turn,
        .call_id = call.call_id,
        .tool = call.name,
        .repeat_class = std::string(tools::to_string(tool->repeat_class())),
        .key = effect_key(state.key, local_id("fc", state.key.session, call.place)),
        .decision = record};
    TRY(seq, batch_.add(journal::kEffectStarted, body));
    batch_.open_effects.push_back(
        {effect_row_id(seq), seq, body.repeat_class, body.key, journal::EffectState::kOpen});
    return {};
  }

  /// False where the turn ended instead.
  Result<bool> start_model_call() {
    const SessionState& state = batch_.state();
    if (state.turn->model_calls >= parts_.max_model_calls_per_turn) {
      TRY_VOID(end_turn(
          TurnStatus::kFailed,
          FailureInfo{"internal_error", "The turn made " + std::to_string(state.turn->model_calls) +
                                            " model calls without coming to an end."}));
      return false;
    }
    auto resolved = parts_.models.resolve(state.agent->model);
    if (!resolved) {
      TRY_VOID(end_turn(TurnStatus::kFailed,
                        FailureInfo{"resource_not_found", resolved.error().message}));
      return false;
    }
    TRY_VOID(place_queued());
    bool had_retry = state.turn->retry_at != 0;
    std::uint64_t through = state.head;
    std::string action = serialize(json::object{{"model", state.agent->model},
                                                {"provider", resolved->provider->name()},
                                                {"upstream", resolved->upstream},
                                                {"context_through", through}});
    policy::Decision decision =
        parts_.policy.decide({state.key, state.principal, policy::ActionKind::kModelCall,
                              state.agent->model, action, state.agent->id, state.workstream});
    if (decision.verdict != policy::Verdict::kAllow) {
      TRY_VOID(end_turn(TurnStatus::kFailed,
                        FailureInfo{"invalid_request",
                                    "Policy did not allow the model call: " + decision.reason}));
      return false;
    }
    ModelCallStartedBody body{
        .turn = state.turn->seq,
        .attempt = state.turn->failed_attempts + 1,
        .provider = std::string(resolved->provider->name()),
        .model = resolved->upstream,
        .key = effect_key(state.key, "model " + std::to_string(through) + "/" +
                                         std::to_string(state.turn->failed_attempts)),
        .context_through = through,
        .decision = {std::string(policy::to_string(decision.verdict)), decision.rule}};
    TRY(seq, batch_.add(journal::kModelCallStarted, body));
    batch_.open_effects.push_back(
        {effect_row_id(seq), seq, "repeatable", body.key, journal::EffectState::kOpen});
    if (had_retry) batch_.clear_timers.push_back("retry");
    return true;
  }

  Result<void> end_turn(TurnStatus status, std::optional<FailureInfo> error,
                        std::string stop = {}) {
    const SessionState& state = batch_.state();
    TurnEndedBody body{.turn = state.turn->seq, .status = status, .error = std::move(error)};
    if (state.turn->usage_known) body.usage = state.turn->usage;
    body.idle = state.queued.empty();
    body.stop = std::move(stop);
    TRY_VOID(batch_.add(journal::kTurnEnded, body));
    return {};
  }

  std::string effect_row_id(std::uint64_t seq) { return std::to_string(seq); }

  Batch& batch_;
  const TurnLoopParts& parts_;
};

}  // namespace

Result<void> advance(Batch& batch, const TurnLoopParts& parts) {
  return TurnLoop(batch, parts).advance();
}

Result<void> add_message(Batch& batch, std::vector<models::ContentPart> parts) {
  const SessionState& state = batch.state();
  if (!state.turn) {
    TRY(seq, batch.add(journal::kTurnCreated, TurnCreatedBody{}));
    TRY_VOID(batch.add(journal::kUserMessage, UserMessageBody{seq, 0, std::move(parts)}));
    TRY_VOID(batch.add(journal::kTurnStarted, TurnStartedBody{seq}));
    return {};
  }
  const TurnState& turn = *state.turn;
  bool before_first_call = turn.model_calls == 0 && !turn.model_call;
  if (before_first_call) {
    TRY_VOID(batch.add(journal::kUserMessage, UserMessageBody{turn.seq, 0, std::move(parts)}));
    return {};
  }
  TRY_VOID(batch.add(journal::kInputQueued, InputQueuedBody{std::move(parts)}));
  return {};
}

Result<void> add_cancel(Batch& batch, const std::optional<ShownText>& shown) {
  if (!batch.state().turn) return {};
  TRY_VOID(close_what_runs(batch, shown, "cancelled"));
  TurnEndedBody body{.turn = batch.state().turn->seq, .status = TurnStatus::kCancelled};
  if (batch.state().turn->usage_known) body.usage = batch.state().turn->usage;
  body.idle = batch.state().queued.empty();
  TRY_VOID(batch.add(journal::kTurnEnded, body));
  return {};
}

namespace {

Result<void> close_what_runs(Batch& batch, const std::optional<ShownText>& shown,
                             std::string_view how) {
  std::uint64_t turn = batch.state().turn->seq;
  if (batch.state().turn->retry_at != 0) batch.clear_timers.push_back("retry");
  if (auto call = batch.state().turn->model_call) {
    ModelCallAbandonedBody body{.turn = turn, .call = call->seq};
    body.error = {"cancelled", fmt::format("The turn was {}.", how)};
    body.lost = true;  // not an attempt that failed
    if (shown) {
      body.shown = true;
      body.text = shown->text;
      body.position = shown->position;
    }
    TRY_VOID(batch.add(journal::kModelCallAbandoned, body));
    batch.close_effects.push_back(std::to_string(call->seq));
  }
  std::vector<OpenEffect> effects = batch.state().turn->effects;
  for (const OpenEffect& effect : effects) {
    TRY_VOID(batch.add(
        journal::kEffectUnknown,
        EffectEndedBody{.turn = turn,
                        .call_id = effect.call.call_id,
                        .output = fmt::format("The turn was {} while this call ran; whether it "
                                              "took effect is unknown.",
                                              how)}));
    batch.close_effects.push_back(std::to_string(effect.seq));
  }
  return {};
}

}  // namespace

std::string effect_key(const SessionKey& session, std::string_view call) {
  std::string input =
      "effect\n" + session.project.value + '\n' + session.session.value + '\n' + std::string(call);
  return to_hex(as_view(sha256(input)));
}

}  // namespace perdure::engine
