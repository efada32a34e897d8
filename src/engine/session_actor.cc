#include "engine/session_actor.h"

#include <algorithm>

#include "base/log.h"
#include "base/planted_bug.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

std::string_view to_string(models::Finish finish) {
  switch (finish) {
    case models::Finish::kStop: return "stop";
    case models::Finish::kToolCalls: return "tool_calls";
    case models::Finish::kLength: return "length";
    case models::Finish::kContentFilter: return "content_filter";
  }
  return "stop";
}

/// Call ids come from the provider; two equal ones in one response could not be told apart.
void make_call_ids_unique(const SessionId& session, std::uint64_t call_seq,
                          std::vector<models::OutputItem>& items) {
  std::vector<std::string> seen;
  for (std::uint32_t i = 0; i < items.size(); ++i) {
    models::OutputItem& item = items[i];
    if (item.type != models::OutputType::kFunctionCall) continue;
    if (item.call_id.empty() || std::ranges::find(seen, item.call_id) != seen.end()) {
      item.call_id = local_id("call", session, {call_seq, i});
      item.raw.clear();  // it names the old id
    }
    seen.push_back(item.call_id);
  }
}

/// For models that cannot decide on tools themselves: the tool that the user's last message names, if
/// that message is the last item, and otherwise none.
std::string named_tool(const models::ModelRequest& request) {
  if (request.tools.empty()) return {};
  const auto* message = request.context.empty()
                            ? nullptr
                            : std::get_if<models::UserMessage>(&request.context.back());
  for (const models::FunctionTool& tool : request.tools)
    if (message && std::ranges::any_of(message->texts, [&](const std::string& text) {
          return text.find(tool.name) != std::string::npos;
        }))
      return tool.name;
  return "none";
}

}  // namespace

/// Receives what a provider streams and shows it, volatile, to who listens.
class SessionActor::CallSink final : public models::ModelSink {
 public:
  CallSink(SessionActor& actor, std::uint64_t seq, std::shared_ptr<Running> running)
      : actor_(actor), seq_(seq), running_(std::move(running)) {}

  void on_message_started(std::size_t position) override {
    if (running_->message_started || !current()) return;
    running_->message_started = true;
    running_->position = static_cast<std::uint32_t>(position);
    running_->output_index = actor_.state_.turn->next_output_index + running_->position;
    if (actor_.listeners_.empty()) return;
    actor_.publish(message_added(actor_.state_, seq_, running_->output_index));
    actor_.publish(part_added(actor_.state_, seq_, running_->output_index));
  }

  void on_text(std::string_view delta) override {
    if (delta.empty() || !current()) return;
    on_message_started(0);
    running_->bytes += delta.size();
    if (running_->bytes > kMaxAnswerBytes) return running_->cancel.cancel();
    std::uint32_t chunk = static_cast<std::uint32_t>(running_->chunks.size());
    running_->chunks.emplace_back(delta);
    if (!actor_.listeners_.empty())
      actor_.publish(text_delta(actor_.state_, seq_, running_->output_index, chunk,
                                std::string(delta)));
  }

  void on_response_id(std::string_view) override {}

 private:
  /// False once the turn was cancelled: nothing of the call is shown any more.
  bool current() const {
    return actor_.is_open(seq_) && !actor_.dead_;
  }

  SessionActor& actor_;
  std::uint64_t seq_;
  std::shared_ptr<Running> running_;
};

SessionActor::SessionActor(Core& core, SessionKey key)
    : core_(core), key_(std::move(key)), mailbox_(core.parts.executor, 1) {
  touch();
}

SessionActor::~SessionActor() = default;

Task<Result<void>> SessionActor::load() {
  auto lock = co_await mailbox_.acquire();
  if (dead_) co_return fail(ErrorCode::kFenced, "the session moved on");
  if (loaded_) co_return Result<void>{};
  co_return co_await rebuild();
}

Task<Result<void>> SessionActor::rebuild() {
  auto loaded = co_await core_.parts.journal.load(key_);
  if (loaded && loaded->row.deleted)
    loaded = fail(ErrorCode::kNotFound, "There is no such session.");
  if (!loaded) {
    die(false);
    co_return std::unexpected(loaded.error());
  }
  auto state = fold(*loaded);
  if (!state) {
    die(false);
    co_return std::unexpected(state.error());
  }
  state_ = std::move(*state);
  receipt_ = journal::JournalStore::receipt_of(loaded->row);
  context_.clear();
  queued_texts_.clear();
  std::vector<std::uint64_t> queued = state_.queued;
  for (std::uint64_t seq : queued) {
    journal::EntryQuery query{.key = key_, .after = seq - 1, .until = seq};
    CO_TRY(entries, co_await core_.parts.journal.read(query));
    if (entries.empty()) co_return fail(ErrorCode::kInternal, "a queued input is missing");
    CO_TRY(body, decode<InputQueuedBody>(entries.front().body));
    queued_texts_[seq] = std::move(body.texts);
  }
  loaded_ = true;
  co_return Result<void>{};
}

// ---- commands ---------------------------------------------------------------------------------

Task<Result<Created>> SessionActor::create(CreateSession command) {
  auto lock = co_await mailbox_.acquire();
  touch();
  state_.key = key_;
  Batch batch = new_batch();
  SessionCreatedBody body{std::move(command.agent), std::move(command.environment),
                          std::move(command.metadata), std::move(command.principal)};
  CO_TRY_VOID(batch.add(journal::kSessionCreated, body));
  for (InputMessage& message : command.input)
    CO_TRY_VOID(add_message(batch, std::move(message.texts)));
  CO_TRY_VOID(advance(batch, loop_parts()));
  Idempotency idempotency;
  if (command.idempotency) idempotency = command.idempotency(*batch.state().view());
  loaded_ = true;
  auto receipt = co_await commit(std::move(batch), std::move(idempotency));
  if (!receipt) {
    die(false);
    Error error = receipt.error();
    if (error.code == ErrorCode::kFenced)
      co_return fail(ErrorCode::kConflict, "A session with this id exists.", {}, "exists");
    co_return std::unexpected(error);
  }
  co_return Created{*receipt, state_.view()};
}

Task<Result<Committed>> SessionActor::submit(std::vector<Input> inputs, Idempotency idempotency) {
  auto lock = co_await mailbox_.acquire();
  touch();
  if (dead_) co_return fail(ErrorCode::kFenced, "the session moved on");
  Batch batch = new_batch();
  std::vector<OpenEffect> repeat;
  if (running_.empty()) CO_TRY_VOID(add_lost(batch, repeat));
  for (Input& input : inputs) CO_TRY_VOID(co_await add_input(batch, std::move(input)));
  CO_TRY_VOID(advance(batch, loop_parts()));
  if (batch.empty() && !idempotency) co_return *receipt_;
  auto receipt = co_await commit(std::move(batch), std::move(idempotency));
  if (receipt)
    for (OpenEffect& effect : repeat) start_tool(*receipt, std::move(effect));
  co_return receipt;
}

/// True if the input added something.
Task<Result<bool>> SessionActor::add_input(Batch& batch, Input input) {
  const SessionState& state = batch.state();
  if (state.error)
    co_return fail(ErrorCode::kConflict, "The session has failed and takes no more input.");
  if (auto* message = std::get_if<InputMessage>(&input)) {
    if (state.queued.size() >= kMaxQueuedInputs)
      co_return fail(ErrorCode::kRateLimited,
                     "Too many messages wait for the running turn; send more when it has ended.");
    std::uint64_t seq = batch.next_seq();
    std::vector<std::string> texts = message->texts;
    CO_TRY_VOID(add_message(batch, std::move(message->texts)));
    if (!batch.state().queued.empty() && batch.state().queued.back() == seq)
      queued_texts_[seq] = std::move(texts);  // stale if the commit fails: overwritten then
    co_return true;
  }
  if (std::holds_alternative<InputCancel>(input)) {
    if (!state.turn) co_return false;
    std::optional<ShownText> text;
    if (state.turn->model_call) text = shown(state.turn->model_call->seq);
    CO_TRY_VOID(add_cancel(batch, text));
    co_return true;
  }
  auto& result = std::get<InputToolResult>(input);
  bool pending = state.turn && state.turn_id() == result.turn_id &&
                 std::ranges::any_of(state.turn->pending, [&](const OpenCall& call) {
                   return call.call_id == result.call_id;
                 });
  if (!pending) {
    CO_TRY_VOID(co_await refuse_late_result(batch, std::move(result)));
    co_return false;  // an identical repetition
  }
  FunctionOutputBody body{.turn = state.turn->seq,
                          .call_id = std::move(result.call_id),
                          .success = result.success,
                          .output = std::move(result.output),
                          .error = std::move(result.error)};
  CO_TRY_VOID(batch.add(journal::kFunctionOutput, body));
  co_return true;
}

/// Success for the same result again; kConflict for another one, or after the turn's end;
/// kInvalidArgument for a call that never was.
Task<Result<void>> SessionActor::refuse_late_result(const Batch& batch, InputToolResult result) {
  auto unknown = [&] {
    return fail(ErrorCode::kInvalidArgument, "Unknown pending tool call: " + result.call_id, {},
                "unknown_call");
  };
  auto turn = parse_local_id(result.turn_id, "turn", key_.session);
  if (!turn) co_return unknown();
  journal::EntryQuery query{.key = key_, .after = turn->seq};
  query.kinds = {journal::kFunctionOutput, journal::kModelCallFinished, journal::kTurnEnded};
  CO_TRY(entries, co_await core_.parts.journal.read(query));
  for (const journal::Entry& entry : batch.entries())
    if (entry.seq > turn->seq) entries.push_back(entry);
  bool asked = false;
  for (const journal::Entry& entry : entries) {
    if (entry.kind == journal::kTurnEnded) break;
    if (entry.kind == journal::kModelCallFinished) {
      CO_TRY(body, decode<ModelCallFinishedBody>(entry.body));
      asked = asked || std::ranges::any_of(body.items, [&](const FinishedItem& finished) {
                return finished.item.type == models::OutputType::kFunctionCall &&
                       finished.item.call_id == result.call_id;
              });
    }
    if (entry.kind != journal::kFunctionOutput) continue;
    CO_TRY(body, decode<FunctionOutputBody>(entry.body));
    if (body.call_id != result.call_id) continue;
    if (body.success == result.success && body.output == result.output &&
        body.error == result.error)
      co_return Result<void>{};
    co_return fail(ErrorCode::kConflict,
                   "Another result was already accepted for the tool call " + result.call_id + ".");
  }
  if (!asked) co_return unknown();
  co_return fail(ErrorCode::kConflict,
                 "The turn that asked for the tool call " + result.call_id + " has ended.");
}

Task<Result<Committed>> SessionActor::remove() {
  auto lock = co_await mailbox_.acquire();
  if (dead_) co_return fail(ErrorCode::kFenced, "the session moved on");
  if (state_.turn)
    co_return fail(ErrorCode::kConflict,
                   "The session has a turn that has not ended; cancel it before deleting.");
  auto receipt = co_await core_.parts.journal.delete_session(key_, state_.head);
  if (receipt || receipt.error().code == ErrorCode::kFenced) die(receipt.has_value());
  co_return receipt;
}

Task<Result<void>> SessionActor::on_timer(std::string id) {
  auto lock = co_await mailbox_.acquire();
  touch();
  if (dead_) co_return fail(ErrorCode::kFenced, "the session moved on");
  Batch batch = new_batch();
  bool due = id == "retry" && state_.turn && state_.turn->retry_at != 0 && !state_.error;
  if (due) CO_TRY_VOID(advance(batch, loop_parts(/*retry_due=*/true)));
  if (std::ranges::find(batch.clear_timers, id) == batch.clear_timers.end())
    batch.clear_timers.push_back(std::move(id));
  CO_TRY_VOID(co_await commit(std::move(batch), std::nullopt));
  co_return Result<void>{};
}

Task<Result<void>> SessionActor::resume() {
  auto lock = co_await mailbox_.acquire();
  if (dead_) co_return fail(ErrorCode::kFenced, "the session moved on");
  if (!running_.empty()) co_return Result<void>{};
  Batch batch = new_batch();
  std::vector<OpenEffect> repeat;
  CO_TRY_VOID(add_lost(batch, repeat));
  CO_TRY_VOID(advance(batch, loop_parts()));
  if (!batch.empty()) {
    resuming_ = true;
    auto receipt = co_await commit(std::move(batch), std::nullopt);
    resuming_ = false;
    CO_TRY_VOID(receipt);
  }
  for (OpenEffect& effect : repeat) start_tool(*receipt_, std::move(effect));
  co_return Result<void>{};
}

/// Ends what the entries say is open and nobody in this process runs: the process that ran it died.
Result<void> SessionActor::add_lost(Batch& batch, std::vector<OpenEffect>& repeat) {
  if (!state_.turn) return {};
  if (auto call = state_.turn->model_call) {
    ModelCallAbandonedBody body{.turn = state_.turn->seq, .call = call->seq};
    body.error = {"connection_failed", "The server stopped while the model call ran."};
    body.lost = true;
    body.shown = true;  // it may have been; who saw its message begin must see it end
    TRY_VOID(batch.add(journal::kModelCallAbandoned, body));
    batch.close_effects.push_back(std::to_string(call->seq));
    ++core_.counters.model_calls_abandoned;
  }
  for (const OpenEffect& effect : state_.turn->effects) {
    auto repeat_class = tools::parse_repeat_class(effect.repeat_class);
    bool may_repeat = repeat_class && tools::may_repeat(*repeat_class);
    if (may_repeat || planted("repeat-opaque")) {
      repeat.push_back(effect);
      continue;
    }
    TRY_VOID(batch.add(
        journal::kEffectUnknown,
        EffectEndedBody{.turn = state_.turn->seq,
                        .call_id = effect.call.call_id,
                        .output = "The outcome of this call is unknown: the server stopped while "
                                  "it ran. It may or may not have taken effect. Check before you "
                                  "call it again."}));
    batch.close_effects.push_back(std::to_string(effect.seq));
  }
  return {};
}

// ---- committing -------------------------------------------------------------------------------

Batch SessionActor::new_batch() const {
  return Batch(state_, core_.parts.env.now(), !listeners_.empty());
}

TurnLoopParts SessionActor::loop_parts(bool retry_due) const {
  TurnLoopParts parts{core_.parts.models, core_.parts.policy, core_.parts.tools,
                      core_.settings.max_model_calls_per_turn};
  parts.queued_texts = [this](std::uint64_t seq) { return queued_texts_.at(seq); };
  parts.retry_due = retry_due;
  return parts;
}

Task<Result<Committed>> SessionActor::commit(Batch batch, Idempotency idempotency) {
  if (core_.draining)
    co_return fail(ErrorCode::kUnavailable, "The server is shutting down; try again shortly.");
  journal::Append append = batch.to_append();
  append.idempotency = std::move(idempotency);
  bool snapshot_due = state_.head - state_.snapshot_seq >= kSnapshotEntries ||
                      state_.bytes_since_snapshot >= kSnapshotBytes;
  if (snapshot_due && state_.head > 0)
    append.snapshot = journal::Snapshot{state_.head, kSnapshotFormat, to_snapshot(state_)};
  bool timers = !append.set_timers.empty();

  auto receipt = co_await core_.parts.journal.append(std::move(append));
  if (!receipt) {
    if (receipt.error().code == ErrorCode::kFenced) die(false);
    co_return receipt;
  }
  std::vector<journal::Entry> entries = batch.entries();
  Events events = batch.take_events();
  std::uint64_t old_head = state_.head;
  std::uint64_t snapshot_seq = snapshot_due ? old_head : state_.snapshot_seq;
  state_ = batch.take_state();
  if (snapshot_due) state_.bytes_since_snapshot = 0;
  state_.snapshot_seq = snapshot_seq;
  receipt_ = *receipt;
  for (const journal::Entry& entry : entries) {
    if (context_.loaded()) CO_TRY_VOID(context_.add(entry));
    if (entry.kind == journal::kTurnCreated) ++core_.counters.turns_started;
    if (entry.kind == journal::kTurnEnded) ++core_.counters.turns_ended;
  }
  std::erase_if(queued_texts_, [&](const auto& queued) {
    return std::ranges::find(state_.queued, queued.first) == state_.queued.end();
  });
  if (core_.settings.rebuild_after_append) CO_TRY_VOID(co_await rebuild());
  for (const auto& event : events) publish(event);
  // A call that a cancel (or its own end) has closed is told so after the fact is on disk.
  for (auto& [intent, running] : running_)
    if (!is_open(intent)) running->cancel.cancel();
  start_effects(*receipt, entries);
  if (timers) core_.timers_changed();
  co_return receipt;
}

Task<Result<Committed>> SessionActor::commit_surely(Batch batch) {
  batch.finishes_effect = true;
  bool told = false;
  while (true) {
    auto receipt = co_await commit(batch, std::nullopt);
    if (receipt || !receipt.error().retryable() || core_.draining) co_return receipt;
    if (!std::exchange(told, true))
      log::warn("the result of an effect waits to be stored",
                {{"session", key_.session.value}, {"why", receipt.error().message}});
    co_await async::sleep_for(1000);
  }
}

// ---- effects ----------------------------------------------------------------------------------

void SessionActor::start_effects(const Committed& receipt,
                                 const std::vector<journal::Entry>& entries) {
  for (const journal::Entry& entry : entries) {
    bool is_call = entry.kind == journal::kModelCallStarted;
    if (is_call && state_.turn && state_.turn->model_call &&
        state_.turn->model_call->seq == entry.seq)
      start_model_call(receipt, entry.seq, decode<ModelCallStartedBody>(entry.body)->key);
    if (entry.kind != journal::kEffectStarted || !state_.turn) continue;
    for (const OpenEffect& effect : state_.turn->effects)
      if (effect.seq == entry.seq) start_tool(receipt, effect);
  }
}

void SessionActor::start_model_call(const Committed&, std::uint64_t seq, std::string key) {
  ++core_.counters.model_calls;
  ++core_.effects_running;
  running_[seq] = std::make_shared<Running>();
  running_[seq]->restarted = resuming_;
  async::spawn(core_.parts.executor, "model call", run_model_call(seq, std::move(key)));
}

Task<> SessionActor::run_model_call(std::uint64_t seq, std::string key) {
  auto self = shared_from_this();
  auto running = running_.at(seq);
  std::expected<models::ModelOutput, models::ModelFailure> result;
  Result<void> ready;
  if (!context_.loaded()) ready = co_await context_.load(core_.parts.journal, key_, state_.head);
  auto resolved = core_.parts.models.resolve(state_.agent->model);
  if (!ready || !resolved) {
    const Error& error = !ready ? ready.error() : resolved.error();
    result = std::unexpected(models::ModelFailure{
        .code = ready ? "resource_not_found" : "internal_error", .message = error.message});
  } else if (!running->cancel.cancelled()) {
    models::ModelRequest request = context_.request(state_);
    request.model = resolved->upstream;
    request.idempotency_key = std::move(key);
    if (resolved->name_tools) request.tool_choice = named_tool(request);
    std::optional<async::FifoSemaphore::Permit> permit;
    if (running->restarted) permit.emplace(co_await restart_gate(*resolved->provider).acquire());
    CallSink sink(*this, seq, running);
    result = co_await resolved->provider->generate(std::move(request), sink,
                                                   running->cancel.token());
    if (running->bytes > kMaxAnswerBytes)
      result = std::unexpected(models::ModelFailure{
          .code = "max_output_tokens", .message = "The model's answer was longer than 8 MiB."});
  }
  auto finished = co_await finish_model_call(seq, std::move(result));
  running_.erase(seq);
  --core_.effects_running;
  if (!finished && finished.error().code != ErrorCode::kFenced && !core_.draining)
    log::error("the result of a model call was not stored",
               {{"session", key_.session.value}, {"why", finished.error().message}});
}

async::FifoSemaphore& SessionActor::restart_gate(const models::Provider& provider) {
  auto& gate = core_.restart_gates[std::string(provider.name())];
  if (!gate)
    gate = std::make_unique<async::FifoSemaphore>(core_.parts.executor,
                                                  core_.settings.recovery_parallel_per_provider);
  return *gate;
}

Task<Result<void>> SessionActor::finish_model_call(
    std::uint64_t seq, std::expected<models::ModelOutput, models::ModelFailure> result) {
  auto lock = co_await mailbox_.acquire();
  touch();
  if (dead_ || core_.draining || !is_open(seq)) co_return Result<void>{};
  Batch batch = new_batch();
  batch.close_effects.push_back(std::to_string(seq));
  std::uint64_t turn = state_.turn->seq;
  const Running& running = *running_.at(seq);
  if (result && result->items.size() > kMaxCallsPerResponse)
    result = std::unexpected(models::ModelFailure{
        .code = "server_error", .message = "The model asked for too many calls at once."});
  if (result) {
    make_call_ids_unique(key_.session, seq, result->items);
    ModelCallFinishedBody body{.turn = turn, .call = seq};
    body.usage = result->usage;
    body.usage_known = result->usage_known;
    body.finish = to_string(result->finish);
    body.response_id = std::move(result->response_id);
    body.model = std::move(result->model);
    bool first_message = true;
    for (models::OutputItem& item : result->items) {
      FinishedItem finished{std::move(item)};
      if (finished.item.type == models::OutputType::kMessage &&
          std::exchange(first_message, false) && running.message_started) {
        finished.streamed = true;
        for (const std::string& chunk : running.chunks)
          finished.chunks.push_back(static_cast<std::uint32_t>(chunk.size()));
      }
      body.items.push_back(std::move(finished));
    }
    CO_TRY_VOID(batch.add(journal::kModelCallFinished, body));
  } else {
    const models::ModelFailure& failure = result.error();
    ++core_.counters.model_calls_abandoned;
    ModelCallAbandonedBody body{.turn = turn, .call = seq};
    body.error = {failure.code, failure.message};
    body.usage = failure.usage;
    body.usage_known = failure.usage_known;
    if (auto text = shown(seq)) {
      body.shown = true;
      body.text = std::move(text->text);
      body.position = text->position;
    }
    int attempt = state_.turn->failed_attempts + 1;
    if (failure.retryable && attempt < core_.settings.model_attempts) {
      std::int64_t pause = std::min(kFirstRetryMs << (attempt - 1), kLongestRetryMs);
      pause += static_cast<std::int64_t>(core_.parts.env.random_u64() % (pause / 2));
      body.retry_at = batch.now() + std::max(pause, failure.retry_after_ms);
      batch.set_timers.push_back({"retry", body.retry_at, "{}"});
    }
    CO_TRY_VOID(batch.add(journal::kModelCallAbandoned, body));
  }
  CO_TRY_VOID(advance(batch, loop_parts()));
  CO_TRY_VOID(co_await commit_surely(std::move(batch)));
  co_return Result<void>{};
}

void SessionActor::start_tool(const Committed&, OpenEffect effect) {
  ++core_.counters.effects_started;
  ++core_.effects_running;
  running_[effect.seq] = std::make_shared<Running>();
  async::spawn(core_.parts.executor, "tool " + effect.call.name, run_tool(std::move(effect)));
}

Task<> SessionActor::run_tool(OpenEffect effect) {
  auto self = shared_from_this();
  auto running = running_.at(effect.seq);
  tools::ToolResult result{false, "There is no tool named '" + effect.call.name + "' any more."};
  if (tools::Tool* tool = core_.parts.tools.find(effect.call.name)) {
    tools::ToolCall call{key_, effect.call.call_id, effect.call.arguments, effect.key};
    result = co_await tool->run(std::move(call), running->cancel.token());
  }
  auto lock = co_await mailbox_.acquire();
  touch();
  if (!dead_ && !core_.draining && is_open(effect.seq)) {
    Batch batch = new_batch();
    batch.close_effects.push_back(std::to_string(effect.seq));
    EffectEndedBody body{state_.turn->seq, effect.call.call_id, result.success,
                         std::move(result.output), std::nullopt};
    Result<void> stored = co_await finish_tool(std::move(batch), std::move(body));
    if (!stored && stored.error().code != ErrorCode::kFenced && !core_.draining)
      log::error("the result of a tool call was not stored",
                 {{"session", key_.session.value}, {"why", stored.error().message}});
  }
  running_.erase(effect.seq);
  --core_.effects_running;
}

Task<Result<void>> SessionActor::finish_tool(Batch batch, EffectEndedBody body) {
  CO_TRY_VOID(batch.add(journal::kEffectFinished, body));
  CO_TRY_VOID(advance(batch, loop_parts()));
  CO_TRY_VOID(co_await commit_surely(std::move(batch)));
  co_return Result<void>{};
}

bool SessionActor::is_open(std::uint64_t intent) const {
  if (!state_.turn) return false;
  if (state_.turn->model_call && state_.turn->model_call->seq == intent) return true;
  return std::ranges::any_of(state_.turn->effects,
                             [&](const OpenEffect& effect) { return effect.seq == intent; });
}

std::optional<ShownText> SessionActor::shown(std::uint64_t seq) const {
  auto found = running_.find(seq);
  if (found == running_.end() || !found->second->message_started) return std::nullopt;
  ShownText shown{.position = found->second->position};
  for (const std::string& chunk : found->second->chunks) shown.text += chunk;
  return shown;
}

// ---- listeners --------------------------------------------------------------------------------

Events SessionActor::running_events() const {
  Events events;
  if (!state_.turn || !state_.turn->model_call) return events;
  std::uint64_t seq = state_.turn->model_call->seq;
  auto found = running_.find(seq);
  if (found == running_.end() || !found->second->message_started) return events;
  const Running& running = *found->second;
  events.push_back(message_added(state_, seq, running.output_index));
  events.push_back(part_added(state_, seq, running.output_index));
  for (std::uint32_t chunk = 0; chunk < running.chunks.size(); ++chunk)
    events.push_back(text_delta(state_, seq, running.output_index, chunk, running.chunks[chunk]));
  return events;
}

void SessionActor::publish(const std::shared_ptr<const SessionEvent>& event) {
  for (EventListener* listener : listeners_) listener->on_event(event);
}

void SessionActor::die(bool deleted) {
  if (std::exchange(dead_, true)) return;
  for (EventListener* listener : std::exchange(listeners_, {})) listener->on_closed(deleted);
  for (auto& [seq, running] : running_) running->cancel.cancel();
  core_.forget(key_);
}

void SessionActor::stop() {
  for (EventListener* listener : std::exchange(listeners_, {})) listener->on_closed(false);
  for (auto& [seq, running] : running_) running->cancel.cancel();
}

}  // namespace perdure::engine
