// The routes of saved agents, /agents[/{id}], and our extension, their versions.
//
// One AgentRoutes serves both prefixes, /v1 and /openai/v1. It is owned by the composition root,
// outlives the server, and is called on the loop. A request is checked whole before anything is
// written, and what was written is on disk before it is answered. Each operation reads the caller's
// project from the guard and asks for no other.
#pragma once

#include <optional>
#include <string>

#include "async/task.h"
#include "base/env.h"
#include "base/error.h"
#include "facades/agents_api/routes.h"
#include "facades/common/idempotency.h"
#include "http/message.h"
#include "http/router.h"
#include "resources/saved_agents.h"

namespace perdure::facades::agents_api {

class AgentRoutes {
 public:
  AgentRoutes(resources::SavedAgents& agents, Env& env, IdempotencyStore& store,
              CallerOf caller_of);
  AgentRoutes(const AgentRoutes&) = delete;

  /// Adds every route under both prefixes. The router must not outlive this.
  void add_routes(http::Router& router);

 private:
  using Answer = Result<http::Response>;
  using Operation = Task<Answer> (AgentRoutes::*)(http::Request);

  /// Runs an operation and translates its error.
  Task<http::Response> serve(Operation operation, http::Request request);

  Task<Answer> create_agent(http::Request request);
  Task<Answer> list_agents(http::Request request);
  Task<Answer> get_agent(http::Request request);
  Task<Answer> update_agent(http::Request request);
  Task<Answer> delete_agent(http::Request request);
  Task<Answer> list_versions(http::Request request);
  Task<Answer> get_version(http::Request request);

  /// A ticket for the request's key; one that is always free where it has none.
  Task<Result<Idempotency::Ticket>> take_ticket(identity::Caller caller,
                                                std::optional<std::string> key, std::string route,
                                                std::string canonical_body);
  /// The answer to a write that was made before, from the version it made.
  Task<Answer> answer_again(ProjectId project, journal::IdempotencyRecord record);

  resources::SavedAgents& agents_;
  Idempotency idempotency_;
  CallerOf caller_of_;
};

}  // namespace perdure::facades::agents_api
