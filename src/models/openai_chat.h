// The provider of `/chat/completions`: OpenAI, vLLM, llama-server, Ollama and whoever speaks it.
//
// The words are in chat_request.h, the answer's reading in chat_stream.h.
#pragma once

#include <memory>

#include "base/env.h"
#include "http/client.h"
#include "models/chat_request.h"
#include "models/endpoint.h"
#include "models/provider.h"

namespace perdure::models {

/// `client` and `env` outlive the provider.
std::unique_ptr<Provider> make_openai_chat(EndpointSettings settings, http::Client& client,
                                           Env& env);

}  // namespace perdure::models
