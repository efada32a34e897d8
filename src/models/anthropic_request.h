// Builds the body of a `/v1/messages` request of Anthropic's Messages API.
//
// The API keeps nothing, so the whole conversation is sent every time, as messages that alternate
// between user and assistant. What it demands, and what is done about it:
//  - a result of a tool call stands first in the message after its call: results are brought
//    forward to their call, and a call whose result is not there gets one that says so;
//  - thinking goes back as the bytes that came, where it came; thinking of another provider, or at
//    the end of a message, is left out;
//  - no text may be blank: such text is left out;
//  - `max_tokens` must be given: kDefaultAnthropicMaxTokens where the request has none;
//  - a prompt is cached up to marked places: the last tool, the system prompt and the two newest
//    messages of the user are marked, which finds the longest cached beginning again although the
//    conversation grew by many blocks.
// A pure function: equal conversations give equal bytes, and the messages of a longer one begin
// with those of the shorter, but for the marks.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "models/provider.h"

namespace perdure::models {

/// OutputItem::raw_provider of items of this protocol, and the kind of its provider.
inline constexpr std::string_view kAnthropicMessages = "anthropic-messages";

/// kInvalidArgument where the request cannot be said: see check_request, and an image that is
/// neither a base64 data: URL nor a http(s):// URL.
Result<std::string> anthropic_request_body(const ModelRequest& request);

}  // namespace perdure::models
