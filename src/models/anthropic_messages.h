// The provider of `/v1/messages`: Anthropic, and servers that speak its Messages API.
//
// The words are in anthropic_request.h, the answer's reading in anthropic_stream.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/env.h"
#include "http/client.h"
#include "models/endpoint.h"
#include "models/provider.h"

namespace perdure::models {

/// Where the messages of a server go: its base URL may end in /v1 or stop before it.
std::string anthropic_messages_url(std::string_view base_url);

/// `client` and `env` outlive the provider.
std::unique_ptr<Provider> make_anthropic_messages(EndpointSettings settings, http::Client& client,
                                                  Env& env);

}  // namespace perdure::models
