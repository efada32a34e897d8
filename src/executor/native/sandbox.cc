#include "executor/native/sandbox.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <vector>

#include "base/log.h"
#include "executor/limits.h"
#include "executor/native/mark.h"
#include "executor/native/view.h"
#include "executor/native/watchdog.h"

namespace perdure::executor::native {
namespace {

struct State {
  State(async::Executor on, SandboxSettings what, Launched launched, Cgroup in)
      : executor(std::move(on)),
        settings(std::move(what)),
        init(launched.init.process),
        handle(std::move(launched.init.handle)),
        control(std::move(launched.control)),
        cgroup(std::move(in)) {}

  void kill() { ::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0); }

  async::Executor executor;
  SandboxSettings settings;
  pid_t init;
  runner::Descriptor handle, control;
  Cgroup cgroup;
  bool asked_to_end = false, over_memory = false;
  std::optional<EndReason> ended;
  Result<void> removed;
  std::list<async::Signal*> waiting;
};

async::Task<> watch_memory(std::shared_ptr<State> state) {
  while (!state->ended) {
    if (enforce_memory(state->init, state->settings.allowance.memory_bytes))
      state->over_memory = true;
    co_await async::sleep_for(kWatchMs);
  }
}

/// The control group empties a moment after the init's death; then everything else can go.
async::Task<Result<void>> remove_traces(std::shared_ptr<State> state) {
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDestroyMs);
  while (!state->cgroup.remove() && std::chrono::steady_clock::now() < until)
    co_await async::sleep_for(2);
  // Its process is known to be gone: the mark then names only what must go too.
  co_return clean_up(state->settings.directory);
}

async::Task<> attend(std::shared_ptr<State> state) {
  runner::Descriptor handle(::dup(state->handle.get()));
  co_await wait_for_end(state->executor, std::move(handle));
  bool out_of_memory = state->over_memory || state->cgroup.out_of_memory_kills() > 0;
  state->removed = co_await remove_traces(state);
  if (!state->removed)
    log::error("a sandbox could not be removed",
               {{"environment", state->settings.id}, {"why", state->removed.error().message}});
  state->ended = state->asked_to_end ? EndReason::kDestroyed
                 : out_of_memory     ? EndReason::kOutOfMemory
                                     : EndReason::kEnded;
  state->control.reset();
  state->settings.on_gone();
  for (async::Signal* signal : state->waiting) signal->notify();
}

async::Task<bool> wait_until_ended(std::shared_ptr<State> state, std::int64_t milliseconds) {
  async::Signal signal(state->executor);
  auto place = state->waiting.insert(state->waiting.end(), &signal);
  struct Leave {
    State* state;
    std::list<async::Signal*>::iterator place;
    ~Leave() { state->waiting.erase(place); }
  } leave{state.get(), place};
  if (!state->ended) co_await signal.wait(milliseconds);
  co_return state->ended.has_value();
}

class Sandbox final : public Environment {
 public:
  explicit Sandbox(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~Sandbox() override {
    if (state_->ended) return;
    state_->asked_to_end = true;
    state_->kill();
  }

  const std::string& id() const override { return state_->settings.id; }
  const std::string& home() const override { return home_; }

  async::Task<Result<std::unique_ptr<MessageStream>>> connect() override {
    auto state = state_;
    if (state->ended)
      co_return fail(ErrorCode::kUnavailable,
                     fmt::format("the environment has ended: {}", to_string(*state->ended)));
    CO_TRY(socket, connect_through(state->control.get()));
    co_return line_stream(state->executor, socket.release(), kMaxMessageBytes);
  }

  std::optional<EndReason> ended() const override { return state_->ended; }

  async::Task<EndReason> wait_ended() override {
    auto state = state_;
    co_await wait_until_ended(state, -1);
    co_return *state->ended;
  }

  async::Task<Result<void>> destroy() override {
    auto state = state_;
    if (!state->ended) {
      state->asked_to_end = true;
      state->kill();
      if (!co_await wait_until_ended(state, 2 * kDestroyMs))
        co_return fail(ErrorCode::kInternal, "the sandbox's init does not die");
    }
    co_return state->removed;
  }

 private:
  std::shared_ptr<State> state_;
  std::string home_ = kHome;
};

}  // namespace

std::unique_ptr<Environment> make_sandbox(async::Executor executor, SandboxSettings settings,
                                          Launched launched, Cgroup cgroup) {
  bool watched = settings.watch_memory;
  auto state = std::make_shared<State>(executor, std::move(settings), std::move(launched),
                                       std::move(cgroup));
  async::spawn(executor, "attend a sandbox", attend(state));
  if (watched) async::spawn(executor, "watch a sandbox's memory", watch_memory(state));
  return std::make_unique<Sandbox>(state);
}

}  // namespace perdure::executor::native
