// Under which names the tools of servers outside are offered to the model. A pure function.
//
// The model sees `label__tool`, with whatever providers refuse in a name replaced, and never two
// tools of one name: where a client's function or an earlier tool has it, or it would be too long,
// the end gives way to a few digits of a hash. The same agent with the same lists always gives the
// same names, so prompts are stable. A call is mapped back by the very names that were offered to
// the model call that asked for it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/session_view.h"
#include "tools/server_tools.h"

namespace perdure::engine {

struct OfferedTool {
  std::string name;  ///< [a-zA-Z0-9_-]{1,64}
  std::string description;
  std::string parameters;
  std::string server;  ///< the label
  std::string tool;    ///< as the server names it
  tools::RepeatClass repeat_class = tools::RepeatClass::kOpaque;
  std::string url;  ///< the server's
};
using OfferedTools = std::vector<OfferedTool>;

/// By the server's label.
using ToolLists = std::map<std::string, std::vector<tools::ServerTool>, std::less<>>;

/// In the order of the agent's servers and of their lists.
OfferedTools name_tools(const AgentConfig& agent, const ToolLists& lists);

/// nullptr if none has this name.
const OfferedTool* find_tool(const OfferedTools& offered, std::string_view name);

}  // namespace perdure::engine
