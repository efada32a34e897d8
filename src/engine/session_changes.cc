#include "engine/session_changes.h"

namespace perdure::engine {

void take_tools(AgentConfig& agent, const AgentConfig& from) {
  agent.functions = from.functions;
  agent.mcp_servers = from.mcp_servers;
  agent.tool_search = from.tool_search;
}

}  // namespace perdure::engine
