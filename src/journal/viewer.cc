#include "journal/viewer.h"

#include <fmt/format.h>

#include <utility>

#include "journal/journal.h"

namespace perdure::journal {

std::string member_row_id(std::string_view workstream, std::string_view principal) {
  return fmt::format("{}/{}", workstream, principal);
}

async::Task<Result<bool>> may_see(JournalStore* store, ProjectId project,
                                  std::optional<std::string> workstream, Viewer viewer) {
  if (!workstream || workstream == viewer.workstream) co_return true;
  if (!viewer.principal.empty()) {
    auto member = co_await store->get_row(project, std::string(kWorkstreamMemberKind),
                                          member_row_id(*workstream, viewer.principal));
    if (member) co_return true;
    if (member.error().code != ErrorCode::kNotFound)
      co_return std::unexpected(std::move(member).error());
  }
  RowQuery query{.project = std::move(project),
                 .kind = std::string(kWorkstreamMemberKind),
                 .parent = std::move(workstream),
                 .after = {},
                 .limit = 1,
                 .ascending = true};
  CO_TRY(members, co_await store->list_rows(std::move(query)));
  const bool open = members.empty();
  co_return open;
}

}  // namespace perdure::journal
