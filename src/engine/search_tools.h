// The tools with which a model looks into earlier sessions: one finds, the other reads what was
// found. Both only read, so a call may be repeated.
//
// Owned by the registry. They are given to a session by name (Tool::by_name_only), because they
// open other sessions' words to its model. What they see is decided here and in the store's query,
// never by what the model says: the session's own project; never the session itself; of closed
// workstreams only its own, whoever made it, because all who see the session read its answers; and
// only its workstream, where it has one and the operator wants that.
#pragma once

#include <string_view>

#include "engine/search_index.h"
#include "tools/registry.h"
#include "tools/tool.h"

namespace perdure::engine {

inline constexpr std::string_view kSearchTool = "search_sessions";
inline constexpr std::string_view kReadTool = "read_session_turn";

/// Whether this is the name of one of the two.
bool is_search_tool(std::string_view name);

/// `index` outlives the registry.
void add_search_tools(tools::Registry* registry, SearchIndex* index, bool within_workstream);

}  // namespace perdure::engine
