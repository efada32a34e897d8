// The route table: which handler serves which method and path.
//
// Paths are given with `{name}` for one decoded, non-empty segment: "/v1/agents/sessions/{id}".
// Literal segments win over parameters, whatever the method: a path names one resource, and a
// method it lacks is a 405. HEAD is a method like any other. The table is data: /openapi.json and
// the generated tenancy test are made from `routes()`.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"

namespace perdure::http {

/// A function or bound member; called on the loop. Takes the request by value: it is a coroutine.
using Handler = std::function<Task<Response>(Request)>;

/// A query parameter, for /openapi.json.
struct QueryParameter {
  std::string name;
  std::string summary;
  bool required = false;
};

struct Route {
  std::string method;
  std::string path;
  std::string summary;  ///< one line for /openapi.json
  std::string tag;      ///< the facade it belongs to
  std::vector<QueryParameter> query = {};
  bool open = false;  ///< needs no Authorization header (health checks)
  /// Answers by whatever name it is asked: probes know an address, or nothing.
  bool any_host = false;
  std::size_t max_body = 8 << 20;
  Handler handler;
  /// What a request is about, as "PROJECT LF SESSION", so that of many servers the right one may be
  /// asked; empty: any of them. No function: any of them, for every request.
  std::function<std::string(const Request&)> about;
};

class Router {
 public:
  /// Two routes with one method and path are a programming error (throws std::logic_error), and so
  /// is a path that does not begin with "/". All routes are added before the server listens.
  void add(Route route);
  const std::vector<Route>& routes() const { return routes_; }

  struct Match {
    const Route* route = nullptr;  ///< nullptr: see `allowed`; valid until the next `add`
    std::vector<std::string> parameters;
    std::vector<std::string> allowed;  ///< methods of this path, for a 405; empty: a 404
    bool malformed = false;            ///< a segment does not decode: a 400
  };
  /// `path` is percent-encoded and has no query. Segments are decoded one by one, so %2F stays
  /// inside its segment.
  Match match(std::string_view method, std::string_view path) const;

 private:
  /// One segment of the paths, and what may follow it.
  struct Node {
    std::vector<std::pair<std::string, std::size_t>> literals;  // text and node
    std::size_t parameter = 0;                                  // node; 0: none
    std::vector<std::size_t> routes;                            // that end here
  };

  std::size_t child_for(std::size_t node, std::string_view segment);
  std::size_t find(std::size_t node, const std::vector<std::string>& segments, std::size_t depth,
                   std::vector<std::string>& parameters) const;

  std::vector<Route> routes_;
  std::vector<Node> nodes_ = std::vector<Node>(1);  // nodes_[0] is the root
};

}  // namespace perdure::http
