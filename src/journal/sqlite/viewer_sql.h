// The part of a query that leaves out what its viewer may not see (journal/viewer.h). Pure; for any
// thread. It asks for members in the same statement, so in the state of the store that the query
// reads; a workstream without a row of its own is open.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "journal/viewer.h"

namespace perdure::journal::sqlite {

/// A condition over the table `session` under this name. The parameters of these numbers are
/// principal_of and workstream_of the viewer; a principal of NULL sees everything.
inline std::string seen_by(std::string_view session, int principal, int workstream) {
  return fmt::format(
      "(?{1} IS NULL OR {0}.workstream IS NULL OR {0}.workstream = ?{2} "
      "OR EXISTS (SELECT 1 FROM resource m WHERE m.project = {0}.project AND m.kind = '{3}' "
      "AND m.id = {0}.workstream || '/' || ?{1}) "
      "OR NOT EXISTS (SELECT 1 FROM resource m WHERE m.project = {0}.project AND m.kind = '{3}' "
      "AND m.parent = {0}.workstream))",
      session, principal, workstream, kWorkstreamMemberKind);
}

inline std::optional<std::string> principal_of(const std::optional<Viewer>& viewer) {
  return viewer ? std::optional(viewer->principal) : std::nullopt;
}
inline std::optional<std::string> workstream_of(const std::optional<Viewer>& viewer) {
  return viewer ? viewer->workstream : std::nullopt;
}

}  // namespace perdure::journal::sqlite
