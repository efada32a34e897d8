#include "main/guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cctype>

#include "base/bytes.h"
#include "identity/request_caller.h"
#include "main/node_requests.h"
#include "models/endpoint.h"

namespace perdure::app {
namespace {

using http::Request;
using http::Response;
using http::Route;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// "name", "127.0.0.1" or "::1" of a Host header; nullopt for one that is none.
std::optional<std::string> host_without_port(std::string_view authority) {
  std::string_view host = authority;
  std::string_view port;
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    port = host.substr(end + 1);
    host = host.substr(1, end - 1);
    if (!port.empty() && port.front() != ':') return std::nullopt;
  } else if (const std::size_t colon = host.find(':'); colon != std::string_view::npos) {
    port = host.substr(colon);
    host = host.substr(0, colon);
  }
  if (!port.empty()) port.remove_prefix(1);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (host.empty() || !std::all_of(port.begin(), port.end(), digit)) return std::nullopt;
  return lower(host);
}

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  return !error && address.is_loopback();
}

/// An Origin is our own if it names the very authority that the request was sent to.
bool is_own_origin(std::string_view origin, std::string_view host) {
  for (std::string_view scheme : {"http://", "https://"})
    if (origin.starts_with(scheme)) return lower(origin.substr(scheme.size())) == lower(host);
  return false;
}

bool has_body(const Request& request) {
  if (request.headers.get("Transfer-Encoding")) return true;
  const auto length = request.headers.get("Content-Length");
  return length && trim(*length) != "0";
}

bool is_json(const Request& request) {
  const auto type = request.headers.get("Content-Type");
  if (!type || request.headers.count("Content-Type") != 1) return false;
  return lower(trim(type->substr(0, type->find(';')))) == "application/json";
}

/// The credential of "Scheme credential", where the scheme is the one asked for.
std::optional<std::string_view> credential(std::string_view authorization,
                                           std::string_view scheme) {
  authorization = trim(authorization);
  const std::size_t space = authorization.find(' ');
  if (space == std::string_view::npos || lower(authorization.substr(0, space)) != lower(scheme))
    return std::nullopt;
  return trim(authorization.substr(space + 1));
}

Error refusal(ErrorCode code, std::string message) {
  return {code, std::move(message), {}, {}};
}

}  // namespace

std::optional<Response> Guard::admit(const Request& request, const Route* route) const {
  const auto refuse = [&](int status, ErrorCode code, std::string message) {
    return error_shape_(status, refusal(code, std::move(message)), &request);
  };
  if (request.headers.get(models::kHopHeader))
    return refuse(508, ErrorCode::kInvalidArgument,
                  "Loop detected: this request comes from a Perdure server as a model call. A "
                  "provider's base_url leads back to a Perdure server.");
  if (comes_from_node(request)) return std::nullopt;  // who sent it is found out with its body
  const std::string_view host = trim(request.headers.get("Host").value_or(""));
  const bool any_host = route && route->any_host;
  if (!any_host && (request.headers.count("Host") != 1 || !host_is_ours(host)))
    return refuse(421, ErrorCode::kInvalidArgument,
                  fmt::format("The host '{}' is not one of this server's names. Add it to hosts in "
                              "[server] of perdure.toml if it should be.",
                              host.substr(0, 128)));
  const auto origin = request.headers.get("Origin");
  if (origin && (request.headers.count("Origin") != 1 || !is_own_origin(trim(*origin), host)))
    return refuse(403, ErrorCode::kPermissionDenied,
                  "Requests from web pages of another origin are refused.");
  const bool open = route && route->open;
  const auto authorization = request.headers.get("Authorization");
  if (!open && (!authorization || trim(*authorization).empty())) {
    Response response = refuse(401, ErrorCode::kUnauthenticated,
                               "The Authorization header is missing: send 'Authorization: Bearer "
                               "KEY' (with 'perdure dev' any key will do).");
    response.headers.set("WWW-Authenticate", "Bearer");
    return response;
  }
  if (has_body(request) && !is_json(request))
    return refuse(415, ErrorCode::kInvalidArgument,
                  "The body must be sent with 'Content-Type: application/json'.");
  return std::nullopt;
}

Route Guard::protect(Route route) const {
  if (route.open) return route;
  route.handler = [this, handler = std::move(route.handler)](Request request) {
    return authenticate_and_run(handler, std::move(request));
  };
  return route;
}

bool Guard::comes_from_node(const Request& request) const {
  return settings_.caller_of_node && request.headers.get(kNodeHeader);
}

async::Task<Response> Guard::authenticate_and_run(http::Handler handler, Request request) const {
  std::string authorization(request.headers.get("Authorization").value_or(""));
  Result<identity::Caller> caller;
  if (comes_from_node(request))
    caller = settings_.caller_of_node(request);
  else
    caller = co_await authenticate(std::move(authorization));
  if (!caller) {
    const bool unauthenticated = caller.error().code == ErrorCode::kUnauthenticated;
    Response response = error_shape_(unauthenticated ? 401 : 503, caller.error(), &request);
    if (unauthenticated) response.headers.set("WWW-Authenticate", "Bearer");
    co_return response;
  }
  identity::attach_caller(request, *caller);
  co_return co_await handler(std::move(request));
}

async::Task<Result<identity::Caller>> Guard::authenticate(std::string authorization) const {
  const auto token = credential(authorization, "Bearer");
  const auto signature = credential(authorization, "AWS4-HMAC-SHA256");
  const ProjectId default_project{std::string(identity::kDefaultProject)};
  if (token && !settings_.operator_token.empty() &&
      equal_in_constant_time(*token, settings_.operator_token))
    co_return identity::Caller{default_project, "operator", true};
  if (settings_.mode == Mode::kDev) {
    if ((token && !token->empty()) || (signature && !signature->empty()))
      co_return identity::Caller{default_project, "dev", true};
    co_return fail(ErrorCode::kUnauthenticated,
                   "The Authorization header must be 'Bearer' with any key, or an AWS signature.");
  }
  if (signature)
    co_return fail(ErrorCode::kUnauthenticated,
                   "AWS signatures are accepted by 'perdure dev' only for now. Send "
                   "'Authorization: Bearer KEY' with a key of 'perdure keys create'.");
  if (!token || token->empty())
    co_return fail(ErrorCode::kUnauthenticated,
                   "The Authorization header must be 'Bearer' and a key of 'perdure keys create'.");
  co_return co_await keys_.verify(std::string(*token));
}

bool Guard::host_is_ours(std::string_view host) const {
  const auto name = host_without_port(host);
  if (!name) return false;
  if (is_loopback(*name)) return true;
  const std::string whole = lower(host);
  return std::any_of(settings_.hosts.begin(), settings_.hosts.end(),
                     [&](const std::string& own) { return own == *name || own == whole; });
}

}  // namespace perdure::app
