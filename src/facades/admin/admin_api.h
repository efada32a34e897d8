// The server about itself: health, readiness, metrics, its route table; and who may use it: API
// keys and projects, for the operator alone.
//
// Owned by the composition root, outlives the server, called on the loop. Knows no store and no
// engine: what it reports comes from a ServerStatus that the composition root implements. Names
// here are public and stable.
//
//   GET  /healthz /readyz /metrics* /openapi.json       open, but * needs a credential
//   GET  /api/models                                    the operator: which pools answer, and how
//   they do POST /api/keys   GET /api/keys   DELETE /api/keys/{key_id}   POST, GET /api/projects
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "facades/admin/capacity.h"
#include "facades/admin/metrics.h"
#include "http/message.h"
#include "http/router.h"
#include "identity/api_keys.h"
#include "identity/caller.h"

namespace perdure::facades::admin {

using async::Task;

class ServerStatus {
 public:
  virtual ~ServerStatus() = default;
  /// What keeps the server from taking work, one word each ("recovering", "draining") with a
  /// sentence; none: it is ready.
  struct Obstacle {
    std::string reason;
    std::string message;
  };
  virtual Task<std::vector<Obstacle>> obstacles() = 0;
  virtual Numbers numbers() = 0;
  virtual Capacity capacity() = 0;
};

using CallerOf = std::function<identity::Caller(const http::Request&)>;

struct AdminParts {
  ServerStatus& status;
  identity::ApiKeys& keys;
  CallerOf caller_of;
  std::string version;
};

class AdminApi {
 public:
  explicit AdminApi(AdminParts parts) : parts_(std::move(parts)) {}
  AdminApi(const AdminApi&) = delete;

  void add_routes(http::Router& router);
  /// The table that /openapi.json is made from: all routes of the server. Outlives this.
  void describe(const http::Router& router) { described_ = &router; }

 private:
  using Answer = Result<http::Response>;
  using Operation = Task<Answer> (AdminApi::*)(http::Request);

  /// Runs an operation of /api for the operator and translates its error.
  Task<http::Response> serve(Operation operation, http::Request request);

  Task<http::Response> healthz(http::Request request);
  Task<http::Response> readyz(http::Request request);
  Task<http::Response> metrics(http::Request request);
  Task<http::Response> openapi(http::Request request);

  Task<Answer> create_key(http::Request request);
  Task<Answer> list_keys(http::Request request);
  Task<Answer> revoke_key(http::Request request);
  Task<Answer> show_capacity(http::Request request);
  Task<Answer> create_project(http::Request request);
  Task<Answer> list_projects(http::Request request);

  AdminParts parts_;
  const http::Router* described_ = nullptr;
};

}  // namespace perdure::facades::admin
