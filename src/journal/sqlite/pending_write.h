// The bridge between a coroutine and the writer thread: `co_await submit(...)` suspends the caller
// until the writer has the answer, and resumes it on its own executor.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "async/handover.h"
#include "journal/append_check.h"
#include "journal/sqlite/writer.h"

namespace perdure::journal::sqlite {

struct WriteOptions {
  bool large = false;
  bool alone = false;
  bool empties_log = false;
  bool may_use_reserve = false;
};

/// `Work` is called as work(connection, now, counted) and returns a Result; if it has a member
/// prepare(connection), that runs in an earlier transaction when the write is `large`.
template <class Work>
class PendingWrite final : public Write {
 public:
  using Answer = std::invoke_result_t<Work&, Connection&, UnixMillis, StoreStats&>;
  using Handler = std::move_only_function<void(Answer)>;

  PendingWrite(ProjectId of, async::Executor resume_on, Work work, Handler handler)
      : Write(std::move(of), std::move(resume_on)),
        work_(std::move(work)),
        handler_(std::move(handler)) {}

  void prepare(Connection& connection) override {
    if constexpr (requires { work_.prepare(connection); }) work_.prepare(connection);
  }
  void apply(Connection& connection, UnixMillis now) override {
    answer_.emplace(work_(connection, now, counted));
  }
  void refuse(Error error) override { answer_.emplace(std::unexpected(std::move(error))); }
  void resume() override { std::exchange(handler_, nullptr)(std::move(*answer_)); }

 private:
  Work work_;
  Handler handler_;
  std::optional<Answer> answer_;
};

template <class Work>
auto submit(Writer* writer, ProjectId project, WriteOptions options, Work work)
    -> Task<typename PendingWrite<Work>::Answer> {
  using Answer = typename PendingWrite<Work>::Answer;
  auto start = [&](async::Executor executor, PendingWrite<Work>::Handler resume) {
    std::unique_ptr<Write> write =
        std::make_unique<PendingWrite<Work>>(project, executor, std::move(work), std::move(resume));
    write->large = options.large;
    write->alone = options.alone;
    write->empties_log = options.empties_log;
    write->may_use_reserve = options.may_use_reserve;
    if (writer->submit(write)) return;
    write->refuse(queue_full(project).error());
    async::post(executor, [refused = std::move(write)] { refused->resume(); });
  };
  co_return co_await async::hand_over<Answer>(std::move(start));
}

}  // namespace perdure::journal::sqlite
