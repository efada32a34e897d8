// The provider of `/responses`: OpenAI, and servers that speak its protocol, without stored state.
//
// The words are in responses_request.h, the answer's reading in responses_stream.h.
#pragma once

#include <memory>

#include "base/env.h"
#include "http/client.h"
#include "models/endpoint.h"
#include "models/provider.h"

namespace perdure::models {

/// `client` and `env` outlive the provider.
std::unique_ptr<Provider> make_openai_responses(EndpointSettings settings, http::Client& client,
                                                Env& env);

}  // namespace perdure::models
