// Coroutines: the awaitable alias and the one way to start one.
//
// House rules (they are also what clang-tidy checks): a coroutine takes its arguments by value, is
// a function or a member, never a capturing lambda; a detached one is started with `spawn`, which
// logs what escapes it, so that no failure vanishes.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <string>

namespace perdure::async {

template <class T = void>
using Task = boost::asio::awaitable<T>;

using Executor = boost::asio::any_io_executor;

/// Runs `task` on `executor`, detached. `name` appears in the log if an exception escapes.
void spawn(Executor executor, std::string name, Task<> task);

/// Number of spawned tasks that have not ended: zero after a clean shutdown.
long running_tasks();

/// Suspends the calling coroutine; false if the wait was cancelled.
Task<bool> sleep_for(std::int64_t milliseconds);

/// Lets everything that is ready on this executor run first.
Task<> yield();

}  // namespace perdure::async
