// The guard at the door: what every request must satisfy before a handler sees it.
//
// In two steps. `admit` looks at the head alone, before the body is read, and is the same in both
// modes: a web page must not be able to drive a developer's server, so the Host must be ours (no
// DNS rebinding), an Origin must be our own, a body must be declared as JSON (no simple cross-site
// form), an Authorization header must be there, and no CORS header is ever sent. `protect` wraps a
// route's handler and finds out who calls: in `dev` anybody, in `serve` the holder of a valid key
// or the local operator. Handlers ask identity::caller_of. Used on the loop; must outlive the
// server.
//
//   508 x-perdure-hop: a server configured as its own provider   401 no or bad credential
// Probes of load balancers, which know an address or nothing, are asked for no name (`any_host`).
//
//   421 a Host that is not ours   403 a foreign Origin           415 a body that is not JSON
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "http/message.h"
#include "http/router.h"
#include "identity/api_keys.h"
#include "main/config.h"

namespace perdure::app {

/// Makes an error's answer in the shape of the door that the request is for.
using ErrorShape =
    std::function<http::Response(int status, const Error& error, const http::Request* request)>;

struct GuardSettings {
  Mode mode = Mode::kServe;
  /// Names a Host header may have beside loopback: "name" with any port, or "name:port".
  std::vector<std::string> hosts;
  /// The token of the runtime file; its holder is the operator.
  std::string operator_token;
  /// Who called, by the word of another node of the cluster; empty where there is none. A request
  /// that carries kNodeHeader is judged by this alone: it was let in by that node.
  std::function<Result<identity::Caller>(const http::Request&)> caller_of_node;
};

class Guard {
 public:
  Guard(GuardSettings settings, identity::ApiKeys& keys, ErrorShape error_shape)
      : settings_(std::move(settings)), keys_(keys), error_shape_(std::move(error_shape)) {}

  /// For http::Hooks::admit; `route` is null where there is none.
  std::optional<http::Response> admit(const http::Request& request, const http::Route* route) const;

  /// The route with a handler that runs only for a known caller. Open routes stay as they are.
  http::Route protect(http::Route route) const;

 private:
  async::Task<http::Response> authenticate_and_run(http::Handler handler,
                                                   http::Request request) const;
  async::Task<Result<identity::Caller>> authenticate(std::string authorization) const;
  bool comes_from_node(const http::Request& request) const;
  bool host_is_ours(std::string_view host) const;

  GuardSettings settings_;
  identity::ApiKeys& keys_;
  ErrorShape error_shape_;
};

}  // namespace perdure::app
