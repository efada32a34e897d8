// Ends a task when a CancelToken says so: the bridge from our tokens to Asio's own cancellation.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "async/cancel.h"
#include "async/task.h"

namespace perdure::async {

/// Runs `work` to its end and gives its value. When `cancel` fires first, the operation in which
/// `work` is suspended is aborted, `work` unwinds, and the answer is nullopt; nothing of it goes on
/// afterwards. T needs a default constructor.
template <class T>
Task<std::optional<T>> until_cancelled(Task<T> work, CancelToken cancel) {
  namespace asio = boost::asio;
  if (cancel.cancelled()) co_return std::nullopt;
  // The token may outlive this call by far: its callback must find nothing then.
  auto signal = std::make_shared<asio::cancellation_signal>();
  cancel.on_cancel([weak = std::weak_ptr(signal)] {
    if (auto alive = weak.lock()) alive->emit(asio::cancellation_type::terminal);
  });
  auto [error, value] = co_await asio::co_spawn(
      co_await asio::this_coro::executor, std::move(work),
      asio::bind_cancellation_slot(signal->slot(), asio::as_tuple(asio::use_awaitable)));
  if (error && cancel.cancelled()) co_return std::nullopt;
  if (error) std::rethrow_exception(error);
  co_return std::optional<T>(std::move(value));
}

}  // namespace perdure::async
