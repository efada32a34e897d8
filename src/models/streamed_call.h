// One call to a provider over HTTP: sends the request, feeds a decoder, maps failures.
//
// What every HTTP provider shares. A stream is server-sent events or Amazon's frames, as the
// decoder says. It never retries. A cancel aborts whichever phase the call is in, closes the
// connection, and the call returns "cancelled". Runs on the loop of the client.
#pragma once

#include <expected>
#include <memory>

#include "async/cancel.h"
#include "base/env.h"
#include "base/event_stream.h"
#include "http/client.h"
#include "http/sse_parser.h"
#include "models/failure.h"
#include "models/stream_decoder.h"

namespace perdure::models {

/// What a call borrows; all outlive it.
struct CallParts {
  http::Client* client = nullptr;
  Env* env = nullptr;
  ModelSink* sink = nullptr;
};

/// Begins the name of an event that is an error: no protocol's own name can.
inline constexpr std::string_view kExceptionEvent = ":exception ";

/// A frame as an event: named by its :event-type, or kExceptionEvent and the :exception-type or
/// :error-code; its data is the payload, or {"message": …} of the :error-message.
http::SseEvent event_of_frame(const EventStreamMessage& message);

Task<std::expected<ModelOutput, ModelFailure>> streamed_call(CallParts parts,
                                                             FailureMapper failures,
                                                             http::ClientRequest request,
                                                             std::unique_ptr<StreamDecoder> decoder,
                                                             async::CancelToken cancel);

}  // namespace perdure::models
