// What a model was sent, and why: the context record of a session's turn, over HTTP.
//
// For any caller in its own project; the operator's token reaches another one with `?project=`.
// Another project's session is not found, like one that never was; nor is one of a workstream that
// the caller is no member of. Owned by the composition root,
// outlives the server, called on the loop. What a record is: engine/context_record.h.
//
//   GET /api/sessions/{session_id}/context/{turn_id}
#pragma once

#include <functional>

#include "engine/engine.h"
#include "http/message.h"
#include "http/router.h"
#include "identity/api_keys.h"
#include "identity/caller.h"
#include "resources/workstreams.h"

namespace perdure::facades::admin {

class ContextsApi {
 public:
  using CallerOf = std::function<identity::Caller(const http::Request&)>;

  ContextsApi(engine::Engine& engine, resources::Workstreams& workstreams, identity::ApiKeys& keys,
              CallerOf caller_of)
      : engine_(engine), workstreams_(workstreams), keys_(keys), caller_of_(std::move(caller_of)) {}
  ContextsApi(const ContextsApi&) = delete;

  void add_routes(http::Router& router);

 private:
  using Answer = Result<http::Response>;

  async::Task<http::Response> serve(http::Request request);
  async::Task<Answer> show(http::Request request);

  engine::Engine& engine_;
  resources::Workstreams& workstreams_;
  identity::ApiKeys& keys_;
  CallerOf caller_of_;
};

}  // namespace perdure::facades::admin
