// How the guard hands a request's caller to its handler.
//
// The caller travels in the request as *pseudo-headers*: names that begin with a colon, which no
// HTTP/1.1 parser lets a client send. So a handler cannot mistake a client's word for the guard's.
#pragma once

#include "http/message.h"
#include "identity/caller.h"

namespace perdure::identity {

void attach_caller(http::Request& request, const Caller& caller);

/// The caller of a request that has passed the guard; of any other one it throws std::logic_error,
/// because a route without a guard is our mistake and must not pass for somebody's project.
Caller caller_of(const http::Request& request);

}  // namespace perdure::identity
