#include "facades/agents_api/errors.h"

#include <string>
#include <string_view>

#include "facades/common/json_writer.h"

namespace perdure::facades::agents_api {
namespace {

struct WireError {
  int status;
  std::string_view type;
  std::string_view code;
};

WireError wire_error(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnimplemented:  // a known parameter that is not offered
      return {400, "invalid_request_error", "invalid_request_error"};
    case ErrorCode::kUnauthenticated:
      return {401, "invalid_request_error", "unauthorized"};
    case ErrorCode::kPermissionDenied:
      return {403, "invalid_request_error", "forbidden"};
    case ErrorCode::kNotFound:
      return {404, "not_found_error", "not_found_error"};
    case ErrorCode::kConflict:
      return {409, "conflict_error", "conflict_error"};
    case ErrorCode::kTooLarge:
      return {413, "invalid_request_error", "request_too_large"};
    case ErrorCode::kRateLimited:
      return {429, "rate_limit_error", "rate_limit_exceeded"};
    case ErrorCode::kFenced:  // somebody else has the session now: a repeat finds them
    case ErrorCode::kCancelled:
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kUpstream:
    case ErrorCode::kUnavailable:
      return {503, "service_unavailable_error", "service_unavailable_error"};
    case ErrorCode::kInternal:
      break;
  }
  return {500, "internal_error", "internal_error"};
}

/// Reasons that are part of the wire; all others are between the engine and us.
bool is_wire_code(std::string_view reason) {
  return reason == "invalid_beta" || reason == "agent_not_persisted" ||
         reason == "model_not_found" || reason == "executor_version_incompatible" ||
         reason == "stopped" || reason == "active_turn_not_steerable";
}

}  // namespace

http::Response error_response(const Error& error) {
  WireError wire = wire_error(error.code);
  bool internal = wire.status == 500;
  std::string body;
  ObjectWriter outer(body);
  ObjectWriter inner(outer.begin("error"));
  inner.text("type", wire.type);
  inner.text("code", is_wire_code(error.reason) ? std::string_view(error.reason) : wire.code);
  inner.text("message", internal ? std::string_view("The server had an error while processing the "
                                                    "request. Its request id is in the log.")
                                 : std::string_view(error.message));
  if (internal || error.param.empty())
    inner.null("param");
  else
    inner.text("param", error.param);
  inner.end();
  outer.end();

  http::Response response = http::json_response(wire.status, std::move(body));
  if (wire.status == 409) response.headers.set("x-should-retry", "false");
  if (wire.status == 429 || wire.status == 503) response.headers.set("Retry-After", "1");
  return response;
}

}  // namespace perdure::facades::agents_api
