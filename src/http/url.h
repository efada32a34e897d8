// The address of an outgoing request: what an http or https URL says about where and what to ask.
//
// Strict, because what is checked here must be what is connected to: user information, zones, and
// host names that some resolvers read as numbers (127.1, 0x7f000001) are refused. A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace perdure::http {

struct Url {
  bool tls = false;         ///< https
  std::string host;         ///< lower case; an IPv6 address without brackets
  bool is_address = false;  ///< host is an IP address
  std::uint16_t port = 0;
  std::string authority;  ///< for the Host field: IPv6 in brackets, port unless it is the default
  std::string target;     ///< path and query as given, "/" at least; the fragment is dropped

  std::string_view scheme() const { return tls ? "https" : "http"; }
  /// "https://example.com:8443": what connections are pooled by, and fit for a log.
  std::string origin() const { return std::string(scheme()) + "://" + authority; }
};

/// kInvalidArgument with a sentence that does not repeat the URL (it may carry a secret).
Result<Url> parse_url(std::string_view text);

}  // namespace perdure::http
