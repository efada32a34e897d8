// POST /agents/sessions/{id}: what a client changes of a session, checked. Pure functions.
#pragma once

#include <string_view>

#include "base/error.h"
#include "engine/engine.h"

namespace perdure::facades::agents_api {

/// SessionUpdateParams. `body` has passed check_body. Members that a session keeps for good are
/// refused by name.
Result<engine::SessionChanges> read_update_session(std::string_view body);

/// Whether this server can work with the session as it would be; else kInvalidArgument, or
/// kUnimplemented, with the path of the changed member that stands in the way.
Result<void> check_update(const engine::Engine& engine, const engine::SessionChanges& changes,
                          const engine::SessionView& after);

}  // namespace perdure::facades::agents_api
