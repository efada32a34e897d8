// Builds a ConverseStream request for Amazon Bedrock.
//
// The protocol is stricter than others: messages alternate between user and assistant and begin
// with the user; every toolUse is answered by a toolResult at the beginning of the next message; a
// text block may not be blank; a toolUseId has a pattern; toolConfig must be there as soon as the
// conversation holds a call. What a conversation has beyond that is put into these words, never
// left out in silence: see the .cc for each rule. Reasoning goes back as the bytes that were built
// from the stream (bedrock_stream.h), and only to a model that takes it. What cannot be said at all
// is refused.
// Pure functions: equal conversations give equal bytes, and a longer one begins with the blocks of
// the shorter, so that prompt caches hit. Cache points stand after the instructions, the tools and
// the last two messages of the user, in families that take them there.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "models/provider.h"

namespace perdure::models {

/// The kind of the provider, and OutputItem::raw_provider of its reasoning.
inline constexpr std::string_view kBedrockConverse = "bedrock-converse";

/// "model/{id}/converse-stream" with the id percent-encoded: ids and ARNs hold ':' and '/'.
std::string bedrock_path(std::string_view model_id);

/// kInvalidArgument, with the member as `param`, where the request cannot be said: see
/// check_request; an image that is not a data: URL of a PNG, JPEG, GIF or WebP; a reasoning effort
/// that the model has no word for; a service tier that Bedrock does not have; calls one at a time
/// from a model that cannot be told so; a conversation without a word.
Result<std::string> bedrock_request_body(const ModelRequest& request);

}  // namespace perdure::models
