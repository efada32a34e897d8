// What was spent, and what may be: usage and budgets of the caller's project.
//
// Owned by the composition root, outlives the server, called on the loop. Every operation works on
// the caller's project; only the operator may name another one (`?project=`). A project's own
// budget is the operator's to set, because it limits whoever holds the project's keys; budgets of
// agents and workstreams are the project's, those of a closed workstream its owners'. Money is
// given exactly: nano-dollars as a number, and dollars as text.
//
//   GET /api/usage   GET /api/sessions/{session_id}/usage
//   GET /api/budgets   PUT, DELETE /api/budgets/{scope}/{id}
#pragma once

#include <functional>

#include "engine/accounts.h"
#include "http/message.h"
#include "http/router.h"
#include "identity/api_keys.h"
#include "identity/caller.h"
#include "resources/workstreams.h"

namespace perdure::facades::admin {

class BudgetsApi {
 public:
  using CallerOf = std::function<identity::Caller(const http::Request&)>;

  BudgetsApi(engine::Accounts& accounts, resources::Workstreams& workstreams,
             identity::ApiKeys& keys, CallerOf caller_of)
      : accounts_(accounts),
        workstreams_(workstreams),
        keys_(keys),
        caller_of_(std::move(caller_of)) {}
  BudgetsApi(const BudgetsApi&) = delete;

  void add_routes(http::Router& router);

 private:
  using Answer = Result<http::Response>;
  using Operation = async::Task<Answer> (BudgetsApi::*)(http::Request, ProjectId);

  /// Finds the project that is meant, runs the operation and translates its error.
  async::Task<http::Response> serve(Operation operation, http::Request request);
  /// kNotFound for a project that the caller does not see.
  async::Task<Result<ProjectId>> project_of(http::Request request);
  /// Whose row the budget in the path is. That of a project is its own, and the operator needs no
  /// `?project=` beside its name. kPermissionDenied for who is not the operator.
  async::Task<Result<ProjectId>> holder_of(http::Request request, journal::BudgetScope scope,
                                           ProjectId project);

  /// Whether the caller may change this budget. kNotFound for one of a workstream that it does not
  /// see, kPermissionDenied where it is no owner.
  async::Task<Result<void>> may_change(identity::Caller caller, ProjectId holder,
                                       journal::BudgetScope scope, std::string id);

  async::Task<Answer> usage(http::Request request, ProjectId project);
  async::Task<Answer> session_usage(http::Request request, ProjectId project);
  async::Task<Answer> list(http::Request request, ProjectId project);
  async::Task<Answer> put(http::Request request, ProjectId project);
  async::Task<Answer> remove(http::Request request, ProjectId project);

  engine::Accounts& accounts_;
  resources::Workstreams& workstreams_;
  identity::ApiKeys& keys_;
  CallerOf caller_of_;
};

}  // namespace perdure::facades::admin
