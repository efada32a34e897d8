#include "facades/agents_api/workstream_gate.h"

#include <fmt/format.h>

#include <utility>

#include "base/ids.h"
#include "facades/common/viewer.h"

namespace perdure::facades::agents_api {

using async::Task;
using resources::Access;

Task<Result<void>> WorkstreamGate::admit(identity::Caller caller, std::string method,
                                         std::string session) const {
  const resources::Asker asker = asker_of(caller);
  if (!asker || !is_session_id(session)) co_return Result<void>{};
  SessionKey key{caller.project, {std::move(session)}};
  Result<Access> access = Access::kManage;
  // The operation wakes the session anyway. What is deleted is only there in the store.
  auto view = co_await engine_.session(key);
  if (view)
    access = co_await workstreams_.access(key.project, (*view)->workstream, asker);
  else if (view.error().code == ErrorCode::kNotFound)
    access = co_await workstreams_.access_to_session(key, asker);
  else
    co_return std::unexpected(std::move(view).error());
  if (!access) co_return std::unexpected(std::move(access).error());
  if (*access == Access::kNone) co_return fail(ErrorCode::kNotFound, {});
  if (*access == Access::kRead && method != "GET")
    co_return fail(ErrorCode::kPermissionDenied,
                   "This key is a viewer of the session's workstream: it may read it only.");
  co_return Result<void>{};
}

Task<Result<void>> WorkstreamGate::may_work(identity::Caller caller, std::string workstream,
                                            std::string param) const {
  CO_TRY(access, co_await workstreams_.access(caller.project, workstream, asker_of(caller)));
  if (access == Access::kNone)
    co_return fail(ErrorCode::kNotFound,
                   fmt::format("This key is no member of the workstream '{}'.", workstream),
                   std::move(param));
  if (access == Access::kRead)
    co_return fail(
        ErrorCode::kPermissionDenied,
        fmt::format("This key is a viewer of the workstream '{}': it may read only.", workstream),
        std::move(param));
  co_return Result<void>{};
}

Task<Result<std::optional<std::string>>> WorkstreamGate::of_agent(identity::Caller caller,
                                                                  std::string agent) const {
  CO_TRY(workstream, co_await workstreams_.of_agent(caller.project, std::move(agent)));
  if (!workstream) co_return std::nullopt;
  auto may = co_await may_work(std::move(caller), *workstream, "agent_id");
  // Who does not see the workstream is not told its name.
  if (!may && may.error().code == ErrorCode::kNotFound)
    co_return fail(ErrorCode::kPermissionDenied,
                   "The agent belongs to a workstream that this key is no member of.", "agent_id");
  if (!may) co_return std::unexpected(std::move(may).error());
  co_return workstream;
}

Task<Result<void>> WorkstreamGate::take_session(ProjectId project, std::string workstream,
                                                std::string param) const {
  auto found = co_await workstreams_.find(project, workstream);
  if (!found && found.error().code == ErrorCode::kNotFound)
    co_return co_await workstreams_.ensure(std::move(project), std::move(workstream));
  if (!found) co_return std::unexpected(std::move(found).error());
  if (found->archived)
    co_return fail(
        ErrorCode::kConflict,
        fmt::format("The workstream '{}' is archived: it takes no new sessions.", workstream),
        std::move(param));
  co_return Result<void>{};
}

}  // namespace perdure::facades::agents_api
