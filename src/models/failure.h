// The one place where what went wrong upstream becomes a ModelFailure.
//
// A provider fails in four ways: it answers with an HTTP error, it sends an error inside a stream,
// the connection fails, or it sends something that is not its protocol. Each becomes one of the
// wire's turn error codes, says whether another attempt makes sense, and is told in a sentence for
// a person. What upstream wrote is quoted bounded, in valid UTF-8 and without keys: errors about a
// key are never quoted (a permission that AWS denies to one is no such error), and in all others
// the configured key and anything that looks like one is blotted out. A value owned by a provider;
// its functions are pure and may be called anywhere.
#pragma once

#include <string>
#include <string_view>

#include "base/env.h"
#include "base/error.h"
#include "base/json.h"
#include "http/message.h"
#include "models/provider.h"

namespace perdure::models {

/// What a cancelled call returns. Not one of the turn error codes: a cancelled turn has no error.
inline constexpr std::string_view kCancelledCode = "cancelled";

/// The name alone in what AWS writes for an error's type:
/// "ThrottlingException:http://internal.amazon.com/…", "com.amazon…#throttlingException".
std::string aws_error_name(std::string_view type);

class FailureMapper {
 public:
  /// `provider` is the configured name, `secret` the key that must not appear.
  FailureMapper(std::string provider, std::string secret)
      : provider_(std::move(provider)), secret_(std::move(secret)) {}

  /// An HTTP status other than 2xx with its headers and (the beginning of) its body.
  ModelFailure from_status(int status, const http::Headers& headers, std::string_view body,
                           UnixMillis now) const;
  /// An error object inside a stream: {code, type, message}, or a bare string.
  ModelFailure from_error(const json::value& error) const;
  /// An exception of an AWS service inside a stream: its type, and {"message": …}.
  ModelFailure from_exception(std::string_view type, std::string_view body) const;
  /// The HTTP client's error.
  ModelFailure from_transport(const Error& error) const;
  /// The connection ended before the answer did.
  ModelFailure cut_off() const;
  /// The provider sent what its protocol does not allow; `what` completes "The model provider …
  /// sent".
  ModelFailure broken(std::string_view what) const;
  /// A refusal by us before anything was sent.
  ModelFailure invalid(std::string message) const;
  static ModelFailure cancelled();

 private:
  ModelFailure make(std::string_view code, bool retryable, std::string_view what) const;
  std::string quote(std::string_view upstream_text) const;

  std::string provider_;
  std::string secret_;
};

/// How long upstream asks to wait: `retry-after-ms`, or `retry-after` as seconds or as a date
/// (counted from the response's own Date, else from `now`). 0 when it says nothing usable; at most
/// a day.
std::int64_t retry_after_ms(const http::Headers& headers, UnixMillis now);

}  // namespace perdure::models
