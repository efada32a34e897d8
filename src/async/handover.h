// Waiting for an answer that another thread will have: how a coroutine hands work to a thread that
// is not a loop, and is resumed when that is done.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <utility>

#include "async/task.h"

namespace perdure::async {

/// Suspends the caller and calls `start(executor, resume)`. `resume(answer)` must be called once,
/// on `executor` (see `post`), which is the caller's.
template <class Answer, class Start>
Task<Answer> hand_over(Start start) {
  auto initiate = [&](auto handler) {
    Executor executor = boost::asio::get_associated_executor(handler);
    start(executor, std::move_only_function<void(Answer)>(std::move(handler)));
  };
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>,
                                                 void(Answer)>(initiate,
                                                               boost::asio::use_awaitable);
}

/// Calls `work` on `executor`, later.
template <class Work>
void post(const Executor& executor, Work work) {
  boost::asio::post(executor, std::move(work));
}

}  // namespace perdure::async
