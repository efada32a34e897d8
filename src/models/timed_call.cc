#include "models/timed_call.h"

#include <fmt/format.h>

#include <memory>

#include "async/signal.h"
#include "models/failure.h"

namespace perdure::models {
namespace {

struct Attempt {
  explicit Attempt(const async::Executor& executor) : ended(executor) {}
  async::CancelSource cancel;
  async::Signal ended;
  bool late = false;
};

Task<> watch(std::shared_ptr<Attempt> attempt, std::int64_t total_ms) {
  if (co_await attempt->ended.wait(total_ms)) co_return;
  attempt->late = true;
  attempt->cancel.cancel();
}

/// Ends the watch however the call ends.
struct End {
  std::shared_ptr<Attempt> attempt;
  ~End() { attempt->ended.notify(); }
};

}  // namespace

Task<std::expected<ModelOutput, ModelFailure>> timed_call(Provider* provider, ModelRequest request,
                                                          ModelSink* sink,
                                                          async::CancelToken cancel,
                                                          std::int64_t total_ms) {
  async::Executor executor = co_await boost::asio::this_coro::executor;
  auto attempt = std::make_shared<Attempt>(executor);
  // The token may outlive this call by far: its callback must find nothing then.
  cancel.on_cancel([weak = std::weak_ptr(attempt)] {
    if (auto alive = weak.lock()) alive->cancel.cancel();
  });
  async::spawn(executor, "deadline", watch(attempt, total_ms));
  End end{attempt};
  auto answer = co_await provider->generate(std::move(request), sink, attempt->cancel.token());
  if (answer || !attempt->late || cancel.cancelled() || answer.error().code != kCancelledCode)
    co_return answer;
  ModelFailure failure = std::move(answer).error();
  failure.code = "request_timeout";
  failure.retryable = true;
  failure.message = fmt::format(
      "The model provider '{}' did not finish its answer within {} ms, the total time of one "
      "attempt.",
      provider->name(), total_ms);
  co_return std::unexpected(std::move(failure));
}

}  // namespace perdure::models
