#include "engine/engine.h"

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "async/signal.h"
#include "base/log.h"
#include "engine/limits.h"
#include "engine/queries.h"
#include "engine/session_actor.h"
#include "engine/subscription.h"

namespace perdure::engine {
namespace {

using ActorPtr = std::shared_ptr<SessionActor>;

std::unexpected<Error> draining_error() {
  return fail(ErrorCode::kUnavailable, "The server is shutting down; try again shortly.");
}

class EngineImpl final : public Engine {
 public:
  EngineImpl(EngineParts parts, Settings settings)
      : core_{.parts = parts, .settings = settings},
        timers_(parts.executor),
        housekeeping_(parts.executor) {
    core_.timers_changed = [this] { timers_.notify(); };
    core_.forget = [this](const SessionKey& key) { actors_.erase(key); };
    async::spawn(parts.executor, "timers", run_timers());
    async::spawn(parts.executor, "passivation", run_passivation());
  }

  Task<Result<Created>> create_session(CreateSession command) override;
  Task<Result<Committed>> submit(SessionKey key, std::vector<Input> inputs,
                                 Idempotency idempotency) override;
  Task<Result<Committed>> delete_session(SessionKey key) override;
  Task<Result<std::shared_ptr<const SessionView>>> session(SessionKey key) override;
  Task<Result<Listed<std::shared_ptr<const SessionView>>>> sessions(
      ProjectId project, std::optional<std::string> agent_id, Page page) override;
  Task<Result<Listed<ItemView>>> items(SessionKey key, std::optional<std::string> turn_id,
                                       Page page, bool include_incomplete) override;
  Task<Result<Listed<TurnView>>> turns(SessionKey key, Page page) override;
  Task<Result<TurnView>> turn(SessionKey key, std::string turn_id) override;
  Task<Result<std::unique_ptr<Subscription>>> subscribe(SessionKey key, StreamFrom from) override;
  Task<> recover() override;
  Task<> drain() override;
  void check_timers() override { timers_.notify(); }
  Counters counters() const override {
    Counters counters = core_.counters;
    counters.sessions_awake = actors_.size();
    return counters;
  }

 private:
  /// The session's actor with its state loaded; kNotFound if there is no such session.
  Task<Result<ActorPtr>> awake(SessionKey key);
  Task<Result<std::shared_ptr<const SessionView>>> view_of(SessionKey key);
  Task<> run_timers();
  Task<> run_passivation();
  Task<> resume_one(journal::SessionRow row, std::shared_ptr<long> running);
  Task<> quarantine(journal::SessionRow row);

  Core core_;
  std::unordered_map<SessionKey, ActorPtr, SessionKeyHash> actors_;
  async::Signal timers_;
  async::Signal housekeeping_;
  int services_ = 0;  ///< timers and passivation, while they run
};

Task<Result<ActorPtr>> EngineImpl::awake(SessionKey key) {
  // An actor may die while we wait for it (it was fenced out): the next one reads the store anew.
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (core_.draining) co_return draining_error();
    auto found = actors_.find(key);
    ActorPtr actor = found != actors_.end()
                         ? found->second
                         : actors_.emplace(key, std::make_shared<SessionActor>(core_, key))
                               .first->second;
    actor->touch();
    if (actor->loaded() && !actor->dead()) co_return actor;
    auto loaded = co_await actor->load();
    if (loaded) co_return actor;
    if (loaded.error().code != ErrorCode::kFenced) co_return std::unexpected(loaded.error());
  }
  co_return fail(ErrorCode::kUnavailable, "The session is moving; try again shortly.");
}

// ---- commands ---------------------------------------------------------------------------------

Task<Result<Created>> EngineImpl::create_session(CreateSession command) {
  if (core_.draining) co_return draining_error();
  SessionKey key{command.project, command.id ? *command.id : new_session_id(core_.parts.env)};
  if (command.agent.id.empty()) command.agent.id = new_id("agt", core_.parts.env);
  if (actors_.contains(key))
    co_return fail(ErrorCode::kConflict, "A session with this id exists.", {}, "exists");
  auto actor = std::make_shared<SessionActor>(core_, key);
  actors_.emplace(key, actor);
  co_return co_await actor->create(std::move(command));
}

Task<Result<Committed>> EngineImpl::submit(SessionKey key, std::vector<Input> inputs,
                                           Idempotency idempotency) {
  if (inputs.size() > kMaxInputsPerBatch)
    co_return fail(ErrorCode::kTooLarge, "A batch holds at most 64 events.", "events");
  for (int attempt = 0; attempt < 3; ++attempt) {
    CO_TRY(actor, co_await awake(key));
    auto receipt = co_await actor->submit(inputs, idempotency);
    if (receipt || receipt.error().code != ErrorCode::kFenced) co_return receipt;
  }
  co_return fail(ErrorCode::kUnavailable, "The session is moving; try again shortly.");
}

Task<Result<Committed>> EngineImpl::delete_session(SessionKey key) {
  CO_TRY(row, co_await core_.parts.journal.session(key));
  if (row.deleted) co_return co_await core_.parts.journal.delete_session(key, row.head);
  CO_TRY(actor, co_await awake(key));
  co_return co_await actor->remove();
}

// ---- queries ----------------------------------------------------------------------------------

Task<Result<std::shared_ptr<const SessionView>>> EngineImpl::session(SessionKey key) {
  CO_TRY(actor, co_await awake(std::move(key)));
  co_return actor->state().view();
}

Task<Result<std::shared_ptr<const SessionView>>> EngineImpl::view_of(SessionKey key) {
  if (auto found = actors_.find(key); found != actors_.end() && found->second->loaded())
    co_return found->second->state().view();
  CO_TRY(loaded, co_await core_.parts.journal.load(key));
  CO_TRY(state, fold(loaded));
  co_return state.view();
}

Task<Result<Listed<std::shared_ptr<const SessionView>>>> EngineImpl::sessions(
    ProjectId project, std::optional<std::string> agent_id, Page page) {
  Listed<std::shared_ptr<const SessionView>> listed;
  journal::SessionQuery query{std::move(project), page.after, page.limit + 1, page.ascending};
  while (true) {
    CO_TRY(rows, co_await core_.parts.journal.list_sessions(query));
    for (const journal::SessionRow& row : rows) {
      auto view = co_await view_of(row.key);
      if (!view && view.error().code == ErrorCode::kNotFound) continue;  // deleted meanwhile
      if (!view) co_return std::unexpected(view.error());
      if (agent_id && (*view)->agent->id != *agent_id) continue;
      if (listed.data.size() == page.limit) {
        listed.has_more = true;
        co_return listed;
      }
      listed.data.push_back(std::move(*view));
    }
    if (rows.size() < query.limit) co_return listed;
    query.after = rows.back().key.session.value;
  }
}

Task<Result<Listed<ItemView>>> EngineImpl::items(SessionKey key,
                                                 std::optional<std::string> turn_id, Page page,
                                                 bool include_incomplete) {
  CO_TRY(actor, co_await awake(key));
  ItemQuery query{std::move(key), std::move(turn_id), std::move(page), include_incomplete};
  co_return co_await list_items(core_.parts.journal, std::move(query));
}

Task<Result<Listed<TurnView>>> EngineImpl::turns(SessionKey key, Page page) {
  CO_TRY(actor, co_await awake(std::move(key)));
  co_return co_await list_turns(core_.parts.journal, actor->state(), std::move(page));
}

Task<Result<TurnView>> EngineImpl::turn(SessionKey key, std::string turn_id) {
  CO_TRY(actor, co_await awake(std::move(key)));
  co_return co_await find_turn(core_.parts.journal, actor->state(), std::move(turn_id));
}

Task<Result<std::unique_ptr<Subscription>>> EngineImpl::subscribe(SessionKey key,
                                                                  StreamFrom from) {
  auto awake_it = [this](SessionKey wanted) { return awake(std::move(wanted)); };
  auto follower = std::make_unique<Follower>(core_, std::move(awake_it), std::move(key), from);
  CO_TRY_VOID(co_await follower->begin());
  co_return follower;
}

// ---- services ---------------------------------------------------------------------------------

Task<> EngineImpl::run_timers() {
  ++services_;
  while (!core_.draining) {
    auto due = co_await core_.parts.journal.due_timers(core_.parts.env.now(), 64);
    bool failed = !due;
    if (due)
      for (const journal::DueTimer& timer : *due) {
        if (core_.draining) break;
        auto actor = co_await awake(timer.key);
        Result<void> done;
        if (actor)
          done = co_await (*actor)->on_timer(timer.timer.id);
        else
          done = std::unexpected(actor.error());
        failed = failed || !done;
      }
    std::int64_t pause = failed ? 1000 : 60'000;
    if (due && due->size() == 64 && !failed) pause = 0;
    if (!failed)
      if (auto next = co_await core_.parts.journal.next_timer(); next && *next)
        pause = std::clamp<std::int64_t>(**next - core_.parts.env.now(), 0, pause);
    if (!core_.draining) co_await timers_.wait(pause);
  }
  --services_;
}

Task<> EngineImpl::run_passivation() {
  ++services_;
  while (!core_.draining) {
    bool crowded = actors_.size() > core_.settings.max_awake;
    UnixMillis limit =
        core_.parts.env.now() - (crowded ? 0 : core_.settings.passivate_after_ms);
    std::erase_if(actors_, [&](const auto& entry) {
      const ActorPtr& actor = entry.second;
      return actor.use_count() == 1 && actor->idle() && actor->last_used() <= limit;
    });
    co_await housekeeping_.wait(std::min<std::int64_t>(core_.settings.passivate_after_ms, 5000));
  }
  --services_;
}

Task<> EngineImpl::recover() {
  constexpr std::size_t kGroup = 64;
  auto running = std::make_shared<long>(0);
  std::optional<SessionKey> after;
  std::size_t found = 0;
  while (!core_.draining) {
    auto rows = co_await core_.parts.journal.open_sessions(after, kGroup);
    if (!rows) {
      log::error("recovery cannot read the store", {{"why", rows.error().message}});
      co_await async::sleep_for(1000);
      continue;
    }
    if (rows->empty()) break;
    found += rows->size();
    after = rows->back().key;
    std::vector<SessionKey> keys;
    for (const journal::SessionRow& row : *rows) keys.push_back(row.key);
    auto counts = co_await core_.parts.journal.begin_recovery(keys);
    for (std::size_t i = 0; i < rows->size() && !core_.draining; ++i) {
      if (counts && (*counts)[i] > kMaxRecoveryCrashes) {
        co_await quarantine((*rows)[i]);
        continue;
      }
      ++*running;
      async::spawn(core_.parts.executor, "recovery", resume_one((*rows)[i], running));
    }
    while (*running > 0) co_await async::sleep_for(1);
    if (!core_.draining) co_await core_.parts.journal.end_recovery(std::move(keys));
  }
  if (found > 0) log::info("sessions were taken up again", {{"sessions", found}});
}

Task<> EngineImpl::resume_one(journal::SessionRow row, std::shared_ptr<long> running) {
  auto actor = co_await awake(row.key);
  Result<void> resumed;
  if (actor)
    resumed = co_await (*actor)->resume();
  else
    resumed = std::unexpected(actor.error());
  if (!resumed && resumed.error().code == ErrorCode::kInternal) {
    // A log that cannot be folded will not fold the next time either.
    log::error("a session could not be taken up",
               {{"session", row.key.session.value}, {"why", resumed.error().message}});
    co_await quarantine(row);
  }
  --*running;
}

Task<> EngineImpl::quarantine(journal::SessionRow row) {
  ++core_.counters.quarantined;
  log::error("a session is quarantined: taking it up failed again and again",
             {{"session", row.key.session.value}});
  journal::Append append;
  append.key = row.key;
  append.head = row.head;
  append.time = core_.parts.env.now();
  append.entries.push_back(
      {journal::kSessionFailed,
       encode(SessionFailedBody{{"internal_error",
                                 "The session could not be recovered after the server stopped and "
                                 "was put aside. Its log is kept."}})});
  actors_.erase(row.key);
  auto done = co_await core_.parts.journal.append(std::move(append));
  if (!done)
    log::error("a session could not be quarantined",
               {{"session", row.key.session.value}, {"why", done.error().message}});
}

Task<> EngineImpl::drain() {
  core_.draining = true;
  timers_.notify();
  housekeeping_.notify();
  std::vector<ActorPtr> actors;
  for (auto& [key, actor] : actors_) actors.push_back(actor);
  for (ActorPtr& actor : actors) actor->stop();
  actors.clear();
  while (core_.effects_running > 0 || services_ > 0) co_await async::sleep_for(5);
  actors_.clear();
}

}  // namespace

std::unique_ptr<Engine> make_engine(EngineParts parts, Settings settings) {
  return std::make_unique<EngineImpl>(parts, settings);
}

}  // namespace perdure::engine
