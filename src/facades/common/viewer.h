// Who asks for sessions and workstreams, from who makes a request. Pure.
#pragma once

#include <optional>
#include <string>

#include "identity/caller.h"
#include "journal/viewer.h"

namespace perdure::facades {

/// The principal whose memberships count; nullopt for the operator, who sees everything.
inline std::optional<std::string> asker_of(const identity::Caller& caller) {
  if (caller.operator_access) return std::nullopt;
  return caller.principal;
}

/// The same for a store's queries.
inline std::optional<journal::Viewer> viewer_of(const identity::Caller& caller) {
  if (caller.operator_access) return std::nullopt;
  return journal::Viewer{.principal = caller.principal, .workstream = {}};
}

}  // namespace perdure::facades
