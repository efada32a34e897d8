// What can be told about a provider from its base URL, and the headers that every call carries.
//
// Servers that speak OpenAI's protocols differ in what they accept beside the common core. OpenAI
// (and its models on Azure) knows parameters that others refuse or silently ignore; the others need
// older spellings. The host decides, because nothing else is known before the first call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/message.h"

namespace perdure::models {

/// The header of every call to a provider. A Perdure that receives it refuses the request: a server
/// that is configured as its own provider, over any number of hops, fails instead of looping.
inline constexpr std::string_view kHopHeader = "x-perdure-hop";

struct Endpoint {
  std::string scheme;  ///< lower case
  std::string host;    ///< lower case, without brackets
  std::uint16_t port = 0;
};

/// Scheme, host and port of a URL; an empty host for text that is no http or https URL.
Endpoint endpoint_of(std::string_view url);

/// A host of openai.com or openai.azure.com.
bool is_openai_host(std::string_view base_url);

/// "base_url/path" with one slash between them.
std::string join_url(std::string_view base_url, std::string_view path);

/// Content type, hop header, and where not empty the key and the idempotency key.
http::Headers call_headers(const std::string& api_key, const std::string& idempotency_key);

}  // namespace perdure::models
