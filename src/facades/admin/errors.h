// Errors of the server's own API: {"error": {"code", "message", "param"}}, with the code in the
// words of base/error.h. The one place that turns an Error into a status and a body for /api and
// the paths that belong to no other door. What went wrong inside the server is never shown.
#pragma once

#include "base/error.h"
#include "http/message.h"

namespace perdure::facades::admin {

http::Response error_response(const Error& error);
/// The same with a status that no ErrorCode stands for (421, 508 …).
http::Response error_response(int status, const Error& error);

}  // namespace perdure::facades::admin
