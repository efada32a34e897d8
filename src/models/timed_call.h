// A call to a provider that must end in time, whatever it is doing.
//
// The other limits of a call are its phases' (connecting, the first byte, silence) and belong to
// the connection. This one is the attempt's: it holds for every kind of provider, and also for one
// that keeps sending without an end. Runs on the loop; what the provider throws goes through.
#pragma once

#include "async/task.h"
#include "models/provider.h"

namespace perdure::models {

/// "request_timeout" with a sentence about the total time when `total_ms` is over, "cancelled" when
/// `cancel` says so. Provider and sink outlive the call.
Task<std::expected<ModelOutput, ModelFailure>> timed_call(Provider* provider, ModelRequest request,
                                                          ModelSink* sink,
                                                          async::CancelToken cancel,
                                                          std::int64_t total_ms);

}  // namespace perdure::models
