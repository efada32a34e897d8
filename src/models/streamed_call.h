// One call to a provider over HTTP: sends the request, feeds a decoder, maps failures.
//
// What every HTTP provider shares. It never retries. A cancel aborts whichever phase the call is
// in, closes the connection, and the call returns "cancelled". Runs on the loop of the client.
#pragma once

#include <expected>
#include <memory>

#include "async/cancel.h"
#include "base/env.h"
#include "http/client.h"
#include "models/failure.h"
#include "models/stream_decoder.h"

namespace perdure::models {

/// What a call borrows; all outlive it.
struct CallParts {
  http::Client* client = nullptr;
  Env* env = nullptr;
  ModelSink* sink = nullptr;
};

Task<std::expected<ModelOutput, ModelFailure>> streamed_call(CallParts parts,
                                                             FailureMapper failures,
                                                             http::ClientRequest request,
                                                             std::unique_ptr<StreamDecoder> decoder,
                                                             async::CancelToken cancel);

}  // namespace perdure::models
