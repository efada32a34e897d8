#include "async/task.h"

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>

#include "async/timer.h"
#include "base/log.h"

namespace perdure::async {
namespace asio = boost::asio;
namespace {

std::atomic<long> g_running{0};

}  // namespace

void spawn(Executor executor, std::string name, Task<> task) {
  ++g_running;
  auto on_end = [name = std::move(name)](std::exception_ptr error) {
    --g_running;
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      log::error("a task ended with an exception", {{"task", name}, {"what", e.what()}});
    } catch (...) {
      log::error("a task ended with an unknown exception", {{"task", name}});
    }
  };
  asio::co_spawn(std::move(executor), std::move(task), std::move(on_end));
}

long running_tasks() {
  return g_running;
}

Task<bool> sleep_for(std::int64_t milliseconds) {
  Timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(milliseconds));
  auto [ec] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return !ec;
}

Task<> yield() {
  co_await asio::post(asio::use_awaitable);
}

}  // namespace perdure::async
