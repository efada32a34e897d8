// The part of a query that leaves out what its viewer may not see (journal/viewer.h). Pure; for any
// thread. It asks for members in the same statement, so in the state of the store that the query
// reads; a workstream without a row of its own is open.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "journal/postgres/statement.h"
#include "journal/viewer.h"

namespace perdure::journal::postgres {

/// A condition over the table `session` under this name, with its parameters; "true" for whoever
/// sees everything.
inline std::string seen_by(Statement* statement, std::string_view session,
                           const std::optional<Viewer>& viewer) {
  if (!viewer) return "true";
  std::string own = "false";
  if (viewer->workstream)
    own = fmt::format("{}.workstream = {}", session, statement->text(*viewer->workstream));
  return fmt::format(
      "({0}.workstream IS NULL OR {1} "
      "OR EXISTS (SELECT FROM resource m WHERE m.project = {0}.project AND m.kind = '{2}' "
      "AND m.id = {0}.workstream || '/' || {3}) "
      "OR NOT EXISTS (SELECT FROM resource m WHERE m.project = {0}.project AND m.kind = '{2}' "
      "AND m.parent = {0}.workstream))",
      session, own, kWorkstreamMemberKind, statement->text(viewer->principal));
}

}  // namespace perdure::journal::postgres
