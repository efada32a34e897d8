// The kill switch over HTTP: what is stopped, stopping, lifting.
//
// For any caller in its own project; the operator's token reaches every project, and what the
// operator stopped only the operator lifts. Another project's things are not found. Owned by the
// composition root, outlives the server, called on the loop.
//
//   POST /api/stops {"scope", "id", "reason", "project"?}   GET /api/stops   DELETE
//   /api/stops/{stop_id}
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "engine/engine.h"
#include "http/message.h"
#include "http/router.h"
#include "identity/api_keys.h"
#include "identity/caller.h"
#include "policy/stops.h"

namespace perdure::facades::admin {

class StopsApi {
 public:
  struct Parts {
    engine::Engine& engine;
    policy::Stops& stops;
    identity::ApiKeys& keys;
    std::function<identity::Caller(const http::Request&)> caller_of;
  };
  explicit StopsApi(Parts parts) : parts_(std::move(parts)) {}
  StopsApi(const StopsApi&) = delete;

  void add_routes(http::Router& router);

 private:
  using Answer = Result<http::Response>;
  using Operation = async::Task<Answer> (StopsApi::*)(http::Request);

  async::Task<http::Response> serve(Operation operation, http::Request request);
  async::Task<Answer> stop(http::Request request);
  async::Task<Answer> list(http::Request request);
  async::Task<Answer> lift(http::Request request);

  Parts parts_;
};

}  // namespace perdure::facades::admin
