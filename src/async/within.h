// A limit on how long a task may take.
#pragma once

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <optional>
#include <utility>
#include <variant>

#include "async/task.h"

namespace perdure::async {

/// The value of `work`, or nullopt when it takes longer than `milliseconds`: then the operation in
/// which it is suspended is aborted and it has unwound. T needs a default constructor.
template <class T>
Task<std::optional<T>> within(std::int64_t milliseconds, Task<T> work) {
  using boost::asio::experimental::awaitable_operators::operator||;
  auto first = co_await (std::move(work) || sleep_for(milliseconds));
  if (first.index() == 1) co_return std::nullopt;
  co_return std::optional<T>(std::move(std::get<0>(first)));
}

}  // namespace perdure::async
