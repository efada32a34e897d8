// Who asks, where not every session of a project is everybody's: members of workstreams.
//
// A workstream is closed while it has members, which are rows of kind "workstream_member" with the
// workstream as their parent (resources/workstreams.h writes them); any other is open to all of its
// project, also one that has no row of its own. The stores ask this inside their queries, so that
// pages stay full and nothing is cached that another process may change. Values and one question;
// for any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "async/task.h"
#include "base/error.h"
#include "base/ids.h"

namespace perdure::journal {

class JournalStore;

inline constexpr std::string_view kWorkstreamKind = "workstream";
inline constexpr std::string_view kWorkstreamMemberKind = "workstream_member";

/// The id of a member's row. No workstream's name has a slash, so no two members share one.
std::string member_row_id(std::string_view workstream, std::string_view principal);

/// Sees what is in no workstream, in open ones, in those it is a member of, and in its own.
struct Viewer {
  std::string principal;                  ///< empty: nobody, who is a member of nothing
  std::optional<std::string> workstream;  ///< of a session that looks itself
};

/// Whether the viewer sees what is in this workstream of the project. At most two small reads.
async::Task<Result<bool>> may_see(JournalStore* store, ProjectId project,
                                  std::optional<std::string> workstream, Viewer viewer);

}  // namespace perdure::journal
