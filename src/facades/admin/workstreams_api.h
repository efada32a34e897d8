// Workstreams over HTTP: making, listing, changing and deleting them, their members and budgets.
//
// Works on the caller's project; only the operator may name another one (`?project=`), and sees and
// changes all. A workstream with members is not found by anybody else in the project. What the
// words mean: resources/workstreams.h, docs/operations/workstreams.md. Owned by the composition
// root, outlives the server, called on the loop. Every change is logged with who made it.
//
//   POST, GET /api/workstreams   GET, POST, DELETE /api/workstreams/{name}
//   PUT, DELETE /api/workstreams/{name}/members/{subject}   … /api/workstreams/{name}/budget
#pragma once

#include <functional>

#include "engine/accounts.h"
#include "http/message.h"
#include "http/router.h"
#include "identity/api_keys.h"
#include "identity/caller.h"
#include "resources/saved_agents.h"
#include "resources/workstreams.h"

namespace perdure::facades::admin {

class WorkstreamsApi {
 public:
  struct Parts {
    resources::Workstreams& workstreams;
    resources::SavedAgents& agents;
    engine::Accounts& accounts;
    identity::ApiKeys& keys;
    std::function<identity::Caller(const http::Request&)> caller_of;
  };
  explicit WorkstreamsApi(Parts parts) : parts_(std::move(parts)) {}
  WorkstreamsApi(const WorkstreamsApi&) = delete;

  void add_routes(http::Router& router);

 private:
  using Answer = Result<http::Response>;
  using Operation = async::Task<Answer> (WorkstreamsApi::*)(http::Request, identity::Caller);

  /// Runs the operation for the caller, in the project that is meant, and translates its error.
  async::Task<http::Response> serve(Operation operation, http::Request request);
  /// The caller in the project that the request names. kNotFound for one that it does not see.
  async::Task<Result<identity::Caller>> caller_in_project(http::Request request);

  async::Task<Answer> create(http::Request request, identity::Caller caller);
  async::Task<Answer> list(http::Request request, identity::Caller caller);
  async::Task<Answer> show(http::Request request, identity::Caller caller);
  async::Task<Answer> change(http::Request request, identity::Caller caller);
  async::Task<Answer> remove(http::Request request, identity::Caller caller);
  async::Task<Answer> put_member(http::Request request, identity::Caller caller);
  async::Task<Answer> remove_member(http::Request request, identity::Caller caller);
  async::Task<Answer> put_budget(http::Request request, identity::Caller caller);
  async::Task<Answer> remove_budget(http::Request request, identity::Caller caller);

  /// kInvalidArgument for what is no key of the project that works.
  async::Task<Result<void>> check_subject(ProjectId project, std::string subject,
                                          std::string param);
  async::Task<Result<void>> check_agents(ProjectId project, std::vector<std::string> agents);
  async::Task<Answer> answer(int status, identity::Caller caller, resources::Workstream workstream);

  Parts parts_;
};

}  // namespace perdure::facades::admin
