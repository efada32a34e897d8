#include "facades/admin/errors.h"

#include "facades/common/json_writer.h"

namespace perdure::facades::admin {
namespace {

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return 400;
    case ErrorCode::kUnauthenticated:
      return 401;
    case ErrorCode::kPermissionDenied:
      return 403;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kConflict:
      return 409;
    case ErrorCode::kTooLarge:
      return 413;
    case ErrorCode::kRateLimited:
      return 429;
    case ErrorCode::kUnimplemented:
      return 501;
    case ErrorCode::kFenced:
    case ErrorCode::kCancelled:
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kUpstream:
    case ErrorCode::kUnavailable:
      return 503;
    case ErrorCode::kInternal:
      break;
  }
  return 500;
}

}  // namespace

http::Response error_response(const Error& error) {
  return error_response(status_of(error.code), error);
}

http::Response error_response(int status, const Error& error) {
  std::string body;
  ObjectWriter outer(body);
  ObjectWriter inner(outer.begin("error"));
  inner.text("code", to_string(error.code));
  inner.text("message", status == 500
                            ? std::string_view("The server failed; its log says why, under this "
                                               "request's id.")
                            : std::string_view(error.message));
  if (!error.param.empty()) inner.text("param", error.param);
  inner.end();
  outer.end();
  http::Response response = http::json_response(status, std::move(body));
  if (status == 429 || status == 503) response.headers.set("Retry-After", "1");
  return response;
}

}  // namespace perdure::facades::admin
