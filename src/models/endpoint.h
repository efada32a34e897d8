// What can be told about a provider from its base URL, and the headers that every call carries.
//
// Servers that speak OpenAI's protocols differ in what they accept beside the common core. OpenAI
// (and its models on Azure) knows parameters that others refuse or silently ignore; the others need
// older spellings. The host decides, because nothing else is known before the first call.
#pragma once

#include <string>
#include <string_view>

#include "http/client.h"

namespace perdure::models {

/// The header of every call to a provider. A Perdure that receives it refuses the request: a server
/// that is configured as its own provider, over any number of hops, fails instead of looping.
inline constexpr std::string_view kHopHeader = "x-perdure-hop";

/// Where a provider is and how it is asked.
struct EndpointSettings {
  std::string name;      ///< the configured name
  std::string base_url;  ///< OpenAI's protocols: ends in /v1; Bedrock: without a path
  std::string api_key;   ///< empty: none is sent
  http::ClientTimeouts timeouts;
  /// Chat Completions: where an assistant message takes its reasoning back; empty: nowhere.
  std::string reasoning_member;
};

/// Whether the host is of openai.com or openai.azure.com.
bool is_openai_host(std::string_view base_url);

/// "base_url/path" with one slash between them.
std::string join_url(std::string_view base_url, std::string_view path);

/// Content type, hop header, and where not empty the key and the idempotency key.
http::Headers call_headers(const std::string& api_key, const std::string& idempotency_key);

}  // namespace perdure::models
