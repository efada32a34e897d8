#include "models/endpoint.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <cctype>

namespace perdure::models {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_or_is_under(std::string_view host, std::string_view domain) {
  if (!host.ends_with(domain)) return false;
  return host.size() == domain.size() || host[host.size() - domain.size() - 1] == '.';
}

}  // namespace

Endpoint endpoint_of(std::string_view url) {
  auto parsed = boost::urls::parse_uri({url.data(), url.size()});
  if (!parsed) return {};
  Endpoint endpoint;
  endpoint.scheme = lower({parsed->scheme().data(), parsed->scheme().size()});
  if (endpoint.scheme != "http" && endpoint.scheme != "https") return {};
  endpoint.host = lower(parsed->host_address());
  endpoint.port = parsed->port_number();
  if (!parsed->has_port()) endpoint.port = endpoint.scheme == "https" ? 443 : 80;
  return endpoint;
}

bool is_openai_host(std::string_view base_url) {
  std::string host = endpoint_of(base_url).host;
  return is_or_is_under(host, "openai.com") || is_or_is_under(host, "openai.azure.com");
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
