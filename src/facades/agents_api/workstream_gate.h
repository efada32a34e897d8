// What members of workstreams may do with sessions, asked before an operation runs.
//
// A session of a closed workstream looks to others like one that never was. Its viewers read it;
// members and owners also send it input and delete it. Asked for every request, of the store: a
// member who was removed is refused from the next request on. Owned by the AgentsApi, on the loop.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "engine/engine.h"
#include "http/message.h"
#include "identity/caller.h"
#include "resources/workstreams.h"

namespace perdure::facades::agents_api {

class WorkstreamGate {
 public:
  WorkstreamGate(engine::Engine& engine, resources::Workstreams& workstreams)
      : engine_(engine), workstreams_(workstreams) {}

  /// Before a route of one session runs. kNotFound where the caller does not see the session;
  /// kPermissionDenied where it may only read it and `method` is another than GET.
  async::Task<Result<void>> admit(identity::Caller caller, std::string method,
                                  std::string session) const;

  /// Before a request that makes a session is looked at. kNotFound and kPermissionDenied as above,
  /// about `param`.
  async::Task<Result<void>> may_work(identity::Caller caller, std::string workstream,
                                     std::string param) const;
  /// Where a session of this saved agent belongs if the request names no workstream.
  async::Task<Result<std::optional<std::string>>> of_agent(identity::Caller caller,
                                                           std::string agent) const;
  /// Right before the session is made: the workstream is there, or is made now, open to its
  /// project. kConflict for an archived one.
  async::Task<Result<void>> take_session(ProjectId project, std::string workstream,
                                         std::string param) const;

 private:
  engine::Engine& engine_;
  resources::Workstreams& workstreams_;
};

}  // namespace perdure::facades::agents_api
