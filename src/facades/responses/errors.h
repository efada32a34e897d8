// The one translation of an Error into this door's shape: {"error":{message,type,param,code}}.
#pragma once

#include "base/error.h"
#include "http/message.h"

namespace perdure::facades::responses {

http::Response error_response(const Error& error);

}  // namespace perdure::facades::responses
