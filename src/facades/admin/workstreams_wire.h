// The shapes of workstreams in the server's own API. Pure functions; what is wrong in a request is
// kInvalidArgument with the path of the member.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "facades/common/json_reader.h"
#include "journal/spend.h"
#include "resources/workstreams.h"

namespace perdure::facades::admin {

/// The body of a creation: the name, and what else is given.
Result<resources::Workstream> read_new_workstream(const JsonObject& body);
/// The workstream with what the body of a change gives; null makes a member empty again.
Result<resources::Workstream> read_changed_workstream(const JsonObject& body,
                                                      resources::Workstream workstream);
/// {"role"}; "member" where it is not given.
Result<resources::Role> read_role(const JsonObject& body);

/// `asker`'s own role is part of it.
void append_workstream(std::string& out, const resources::Workstream& workstream,
                       const resources::Asker& asker, const journal::Budget* budget);

}  // namespace perdure::facades::admin
