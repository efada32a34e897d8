// The bridge between a coroutine and the writer thread: `co_await submit(...)` suspends the caller
// until the writer has the answer, and resumes it on its own executor.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <optional>
#include <utility>

#include "journal/append_check.h"
#include "journal/sqlite/writer.h"

namespace perdure::journal::sqlite {

struct WriteOptions {
  bool large = false;
  bool alone = false;
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
auto submit(Writer& writer, ProjectId project, WriteOptions options, Work work)
    -> Task<typename PendingWrite<Work>::Answer> {
  using Answer = typename PendingWrite<Work>::Answer;
  auto initiate = [&](auto handler) {
    async::Executor executor = boost::asio::get_associated_executor(handler);
    std::unique_ptr<Write> write = std::make_unique<PendingWrite<Work>>(
        project, executor, std::move(work), std::move(handler));
    write->large = options.large;
    write->alone = options.alone;
    write->may_use_reserve = options.may_use_reserve;
    if (writer.submit(write)) return;
    write->refuse(queue_full(project).error());
    boost::asio::post(executor, [refused = std::move(write)] { refused->resume(); });
  };
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>,
                                                 void(Answer)>(initiate,
                                                               boost::asio::use_awaitable);
}

}  // namespace perdure::journal::sqlite
