#include "models/endpoint.h"

#include "http/url.h"

namespace perdure::models {
namespace {

bool is_or_is_under(std::string_view host, std::string_view domain) {
  if (!host.ends_with(domain)) return false;
  return host.size() == domain.size() || host[host.size() - domain.size() - 1] == '.';
}

}  // namespace

bool is_openai_host(std::string_view base_url) {
  auto url = http::parse_url(base_url);
  return url &&
         (is_or_is_under(url->host, "openai.com") || is_or_is_under(url->host, "openai.azure.com"));
}

std::string join_url(std::string_view base_url, std::string_view path) {
  while (base_url.ends_with('/')) base_url.remove_suffix(1);
  return std::string(base_url) + "/" + std::string(path);
}

http::Headers call_headers(const std::string& api_key, const std::string& idempotency_key) {
  http::Headers headers;
  headers.add("content-type", "application/json");
  headers.add("accept", "text/event-stream");
  headers.add(std::string(kHopHeader), "1");
  if (!api_key.empty()) headers.add("authorization", "Bearer " + api_key);
  if (!idempotency_key.empty()) headers.add("idempotency-key", idempotency_key);
  return headers;
}

}  // namespace perdure::models
