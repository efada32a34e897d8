// The provider of Amazon Bedrock: ConverseStream with a Bedrock API key as bearer token.
//
// The words are in bedrock_request.h, the answer's reading in bedrock_stream.h, what is known of
// models in bedrock_model.h. Requests are not signed: a key is needed.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/env.h"
#include "http/client.h"
#include "models/bedrock_request.h"
#include "models/endpoint.h"
#include "models/provider.h"

namespace perdure::models {

/// "https://bedrock-runtime.{region}.amazonaws.com"; kInvalidArgument for what is no region's name.
Result<std::string> bedrock_base_url(std::string_view region);

/// `client` and `env` outlive the provider. The base URL has no path of its own.
std::unique_ptr<Provider> make_bedrock_converse(EndpointSettings settings, http::Client& client,
                                                Env& env);

}  // namespace perdure::models
