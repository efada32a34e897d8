// The bridge between a coroutine and the writer: `co_await submit(...)` suspends the caller until
// the answer is final, and resumes it on its own executor.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "async/handover.h"
#include "journal/postgres/write_queue.h"

namespace perdure::journal::postgres {

/// `Work` gives a statement(now) and the answer(outcome, now, counted) that an outcome of it means;
/// if it has blobs(), those statements are committed before.
template <class Work>
class PendingWrite final : public Write {
 public:
  using Answer = decltype(std::declval<const Work&>().answer(std::string_view{}, UnixMillis{},
                                                             std::declval<StoreStats&>()));
  using Handler = std::move_only_function<void(Answer)>;

  PendingWrite(ProjectId of, async::Executor resume_on, Work work, Handler handler)
      : Write(std::move(of), std::move(resume_on)),
        work_(std::move(work)),
        handler_(std::move(handler)) {}

  std::vector<Statement> prepare() override {
    if constexpr (requires { work_.blobs(); })
      return work_.blobs();
    else
      return {};
  }
  Statement statement(UnixMillis now) override { return work_.statement(now); }
  void finish(std::string_view outcome, UnixMillis now) override {
    counted = {};
    answer_.emplace(work_.answer(outcome, now, counted));
  }
  void refuse(Error error) override {
    counted = {};
    answer_.emplace(std::unexpected(std::move(error)));
  }
  void resume() override { std::exchange(handler_, nullptr)(std::move(*answer_)); }

 private:
  Work work_;
  Handler handler_;
  std::optional<Answer> answer_;
};

template <class Work>
auto submit(WriteQueue* queue, ProjectId project, bool alone, Work work)
    -> Task<typename PendingWrite<Work>::Answer> {
  using Pending = PendingWrite<Work>;
  auto start = [&](async::Executor executor, typename Pending::Handler resume) {
    std::unique_ptr<Write> write =
        std::make_unique<Pending>(project, executor, std::move(work), std::move(resume));
    write->alone = alone;
    auto refusal = queue->add(write);
    if (!refusal) return;
    write->refuse(std::move(*refusal));
    async::post(executor, [refused = std::move(write)] { refused->resume(); });
  };
  co_return co_await async::hand_over<typename Pending::Answer>(std::move(start));
}

}  // namespace perdure::journal::postgres
