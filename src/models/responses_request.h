// Builds the body of a `/responses` request with `store: false`.
//
// The server keeps nothing, so the whole conversation is sent every time. Items that came from this
// kind of provider go back as the bytes that came; all others are rebuilt without ids. Two rules of
// the API for stateless use (its guide on reasoning, and the errors it gives):
//  - a reasoning item is understood by its encrypted_content (or by its content, on servers with
//    open models); one with neither is an id that the server cannot look up, and is left out;
//  - a message or call must not carry its id where its reasoning item is left out (the API answers
//    "was provided without its required 'reasoning' item"): the ids of such a run are cut out.
// A pure function: equal conversations give equal bytes.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "models/provider.h"

namespace perdure::models {

/// OutputItem::raw_provider of items of this protocol, and the kind of its provider.
inline constexpr std::string_view kOpenAiResponses = "openai-responses";

/// kInvalidArgument where the request cannot be said; see check_request. `cache_key` is sent as
/// prompt_cache_key where `is_openai`, `cache_ttl` as prompt_cache_options.
Result<std::string> responses_request_body(const ModelRequest& request, bool is_openai);

}  // namespace perdure::models
