// One error type for the whole server.
//
// Everything that can fail for a reason the caller should know returns Result<T>. The code is a
// closed enum: each facade translates it exactly once, in its errors.cc, into its own wire shape.
// `message` is a sentence for a person, `param` the path of the offending request member (may be
// empty), `reason` an optional machine word that a door may pass through (for example
// "agent_not_persisted"). Exceptions are kept for broken invariants and the edges of libraries.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace perdure {

enum class ErrorCode {
  kInvalidArgument,   // the request is wrong and stays wrong
  kUnauthenticated,   // no or bad credential
  kPermissionDenied,  // a valid caller without the right to do this
  kNotFound,          // unknown, or owned by another project: indistinguishable on purpose
  kConflict,          // the state does not allow it now
  kFenced,            // another writer moved the session on; the holder must drop its state
  kTooLarge,          // over a stated limit
  kRateLimited,       // a queue of this project is full
  kUnavailable,       // cannot be done now, retrying helps (disk full, draining)
  kDeadlineExceeded,  // a stated time ran out
  kCancelled,         // somebody asked for it to stop
  kUpstream,          // a provider or another system failed
  kUnimplemented,     // known, and not offered
  kInternal,          // our fault
};

std::string_view to_string(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string param;
  std::string reason;

  /// True where the same request may succeed later without a change.
  bool retryable() const {
    return code == ErrorCode::kUnavailable || code == ErrorCode::kRateLimited ||
           code == ErrorCode::kDeadlineExceeded || code == ErrorCode::kUpstream;
  }
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string message,
                                                 std::string param = {}, std::string reason = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(param), std::move(reason)});
}

}  // namespace perdure

#define PERDURE_CONCAT_(a, b) a##b
#define PERDURE_CONCAT(a, b) PERDURE_CONCAT_(a, b)

/// TRY(name, expression): declares `name` with the value, or returns the error. For functions.
#define TRY(name, ...)                                              \
  auto PERDURE_CONCAT(try_, __LINE__) = (__VA_ARGS__);              \
  if (!PERDURE_CONCAT(try_, __LINE__))                              \
    return std::unexpected(PERDURE_CONCAT(try_, __LINE__).error()); \
  auto name = std::move(*PERDURE_CONCAT(try_, __LINE__))

/// TRY_VOID(expression): returns the error of a Result<void>, or goes on.
#define TRY_VOID(...)                               \
  if (auto try_result = (__VA_ARGS__); !try_result) \
  return std::unexpected(std::move(try_result).error())

/// CO_TRY(name, expression): the same for coroutines; the expression may contain co_await.
#define CO_TRY(name, ...)                                              \
  auto PERDURE_CONCAT(try_, __LINE__) = (__VA_ARGS__);                 \
  if (!PERDURE_CONCAT(try_, __LINE__))                                 \
    co_return std::unexpected(PERDURE_CONCAT(try_, __LINE__).error()); \
  auto name = std::move(*PERDURE_CONCAT(try_, __LINE__))

#define CO_TRY_VOID(...)                            \
  if (auto try_result = (__VA_ARGS__); !try_result) \
  co_return std::unexpected(std::move(try_result).error())
