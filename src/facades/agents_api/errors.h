// Errors as OpenAI's clients know them. The one place that turns an Error into a status and a body.
//
// {"error": {"type", "code", "message", "param"}}. The SDK repeats every 409 unless the answer says
// `x-should-retry: false`, so each 409 does; 429 and 503 say when to come back. What went wrong
// inside the server (kInternal) is logged by the caller and never shown.
#pragma once

#include "base/error.h"
#include "http/message.h"

namespace perdure::facades::agents_api {

http::Response error_response(const Error& error);

}  // namespace perdure::facades::agents_api
