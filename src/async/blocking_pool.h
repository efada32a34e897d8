// A few threads for work that would hold up the loop: list queries, large hashes and parses; or, in
// a simulation, which must go the same way twice, a loop that stands for them.
//
// Owned by the composition root; `run` is called on a loop and resumes there. Work that throws
// rethrows in the caller.
#pragma once

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <utility>

#include "async/task.h"

namespace perdure::async {

class BlockingPool {
 public:
  explicit BlockingPool(std::size_t threads)
      : threads_(std::in_place, threads), executor_(threads_->get_executor()) {}
  /// No threads: all work is done there.
  explicit BlockingPool(Executor executor) : executor_(std::move(executor)) {}
  ~BlockingPool() {
    if (threads_) threads_->join();
  }

  /// Calls `work()` on a pool thread and gives its value on the caller's executor.
  template <class Work>
  auto run(Work work) -> Task<decltype(work())> {
    co_return co_await boost::asio::co_spawn(executor_, call(std::move(work)),
                                             boost::asio::use_awaitable);
  }

 private:
  template <class Work>
  static auto call(Work work) -> Task<decltype(work())> {
    co_return work();
  }

  std::optional<boost::asio::thread_pool> threads_;
  Executor executor_;
};

}  // namespace perdure::async
