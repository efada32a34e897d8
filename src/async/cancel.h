// Cooperative cancellation on one loop: a source that says stop, tokens that are asked or called.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace perdure::async {

class CancelToken {
 public:
  CancelToken() = default;
  bool cancelled() const { return state_ && state_->cancelled; }

  /// Calls `callback` once when cancelled, at once if that has happened. The callback lives as long
  /// as the token's source: it must not own what could outlive it.
  void on_cancel(std::function<void()> callback) const {
    if (!state_) return;
    if (state_->cancelled)
      callback();
    else
      state_->callbacks.push_back(std::move(callback));
  }

 private:
  friend class CancelSource;
  struct State {
    bool cancelled = false;
    std::vector<std::function<void()>> callbacks;
  };
  explicit CancelToken(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

class CancelSource {
 public:
  CancelToken token() const { return CancelToken(state_); }
  bool cancelled() const { return state_->cancelled; }
  void cancel() {
    if (std::exchange(state_->cancelled, true)) return;
    for (auto& callback : std::exchange(state_->callbacks, {})) callback();
  }

 private:
  std::shared_ptr<CancelToken::State> state_ = std::make_shared<CancelToken::State>();
};

}  // namespace perdure::async
