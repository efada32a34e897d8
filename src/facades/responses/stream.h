// A response as server-sent events, live or read again from the log.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "facades/responses/response_events.h"
#include "http/message.h"

namespace perdure::facades::responses {

/// Every event numbered above `starting_after`, and the end's mark. The subscription begins right
/// before the response does.
http::Response stream_response(std::unique_ptr<engine::Subscription> subscription,
                               std::optional<std::int64_t> starting_after);

/// Waits until the response is over, or nothing more comes: what there is of it then.
async::Task<Result<ResponseEvents>> wait_for_end(
    std::unique_ptr<engine::Subscription> subscription);

}  // namespace perdure::facades::responses
