// Permits handed out in order of arrival, between coroutines of one loop. With one permit it is a
// mutex that lasts across suspensions: an actor's mailbox.
//
// Without contention taking a permit neither suspends nor allocates. Not for threads.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include "async/signal.h"
#include "async/task.h"

namespace perdure::async {

class FifoSemaphore {
 public:
  /// Held while the caller works; given back by its end.
  class Permit {
   public:
    explicit Permit(FifoSemaphore* owner) : owner_(owner) {}
    Permit(Permit&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (owner_) owner_->give_back();
    }

   private:
    FifoSemaphore* owner_;
  };

  FifoSemaphore(Executor executor, int permits)
      : executor_(std::move(executor)), permits_(permits), free_(permits) {}

  bool in_use() const { return free_ < permits_; }

  Task<Permit> acquire() {
    if (free_ > 0) {
      --free_;
    } else {
      auto turn = std::make_shared<Signal>(executor_);
      waiting_.push_back(turn);
      co_await turn->wait();  // give_back() hands the permit over: it is not free in between
    }
    co_return Permit(this);
  }

 private:
  void give_back() {
    if (waiting_.empty()) {
      ++free_;
      return;
    }
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    next->notify();
  }

  Executor executor_;
  int permits_;
  int free_;
  std::deque<std::shared_ptr<Signal>> waiting_;
};

}  // namespace perdure::async
