// The route table: which handler serves which method and path.
//
// Paths are given with `{name}` for one decoded, non-empty segment: "/v1/agents/sessions/{id}".
// Literal segments win over parameters. The table is data: /openapi.json and the generated tenancy
// test are made from `routes()`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "http/message.h"

namespace perdure::http {

/// A function or bound member; called on the loop. Takes the request by value: it is a coroutine.
using Handler = std::function<Task<Response>(Request)>;

struct Route {
  std::string method;
  std::string path;
  std::string summary;   ///< one line for /openapi.json
  std::string tag;       ///< the facade it belongs to
  bool open = false;     ///< needs no Authorization header (health checks)
  std::size_t max_body = 8 << 20;
  Handler handler;
};

class Router {
 public:
  /// Two routes with one method and path are a programming error (throws std::logic_error).
  void add(Route route);
  const std::vector<Route>& routes() const { return routes_; }

  struct Match {
    const Route* route = nullptr;              ///< nullptr: see `allowed`
    std::vector<std::string> parameters;
    std::vector<std::string> allowed;          ///< methods of this path, for a 405; empty: a 404
  };
  Match match(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace perdure::http
