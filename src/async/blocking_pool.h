// A few threads for work that would hold up the loop: list queries, large hashes and parses.
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
#include <utility>

#include "async/task.h"

namespace perdure::async {

class BlockingPool {
 public:
  explicit BlockingPool(std::size_t threads) : pool_(threads) {}
  ~BlockingPool() { pool_.join(); }

  /// Calls `work()` on a pool thread and gives its value on the caller's executor.
  template <class Work>
  auto run(Work work) -> Task<decltype(work())> {
    co_return co_await boost::asio::co_spawn(pool_.get_executor(), call(std::move(work)),
                                             boost::asio::use_awaitable);
  }

 private:
  template <class Work>
  static auto call(Work work) -> Task<decltype(work())> {
    co_return work();
  }

  boost::asio::thread_pool pool_;
};

}  // namespace perdure::async
