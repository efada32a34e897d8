// Finds the model providers that a developer has, when none is configured.
//
// In this order, and the first is the default: OPENAI_API_KEY / OPENAI_BASE_URL; then
// AWS_BEARER_TOKEN_BEDROCK with AWS_REGION (or AWS_DEFAULT_REGION) or with
// AWS_ENDPOINT_URL_BEDROCK_RUNTIME; then Ollama, llama-server and vLLM on their usual loopback
// ports. The environment is believed as it is: nothing beyond loopback is asked anything, and
// nothing that could cost money. A loopback port is asked once for its models, with a short
// deadline, and counts only if the answer is a list in OpenAI's shape, because 8080 and 8000 may be
// anything. The server's own address is never a provider. Runs once at start, on the loop; it
// cannot fail, only find nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/client.h"
#include "models/endpoint.h"

namespace perdure::models {

/// A variable's value; nullopt or empty where it is not set.
using EnvironmentLookup = std::function<std::optional<std::string>(std::string_view)>;

struct DetectOptions {
  std::uint16_t own_port = 0;  ///< where this server listens on loopback; 0: nowhere yet
  std::uint16_t ollama_port = 11434;
  std::uint16_t llama_server_port = 8080;
  std::uint16_t vllm_port = 8000;
};

struct FoundProvider {
  std::string name;  ///< "openai", "bedrock", "ollama", "llama-server", "vllm"
  std::string kind;  ///< "openai-responses", "openai-chat" or "bedrock-converse"
  std::string base_url;
  std::string api_key_env;          ///< the variable that holds its key; empty: none is needed
  std::vector<std::string> models;  ///< what it offers, as far as it was asked
  std::string note;                 ///< a sentence for the person at the terminal, may be empty
};

struct Detected {
  std::vector<FoundProvider> found;
  std::vector<std::string> notes;  ///< what was seen and is not used, and why
};

async::Task<Detected> detect_providers(EnvironmentLookup environment, http::Client* client,
                                       DetectOptions options);

}  // namespace perdure::models
