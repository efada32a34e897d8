#include "engine/tool_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "engine/tool_search.h"

namespace perdure::engine {
namespace {

constexpr std::size_t kLongestName = 64;
constexpr std::size_t kHashDigits = 8;

bool may_stand_in_a_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

std::string name_for(const std::string& server, const std::string& tool,
                     const std::set<std::string>& taken) {
  std::string name = server + "__" + tool;
  std::ranges::replace_if(name, [](char c) { return !may_stand_in_a_name(c); }, '_');
  std::string salt;
  std::string candidate = name;
  while (candidate.size() > kLongestName || taken.contains(candidate)) {
    std::string digits = to_hex(as_view(sha256(fmt::format("{}\n{}{}", server, tool, salt))));
    candidate =
        name.substr(0, kLongestName - kHashDigits - 1) + '_' + digits.substr(0, kHashDigits);
    salt += '\n';  // for the case that a function has this very name
  }
  return candidate;
}

}  // namespace

OfferedTools name_tools(const AgentConfig& agent, const ToolLists& lists) {
  std::set<std::string> taken;
  for (const auto* list : {&agent.functions, &agent.server_tools})
    for (const FunctionConfig& function : *list) taken.insert(function.name);
  taken.emplace(kToolSearch);
  OfferedTools offered;
  for (const McpServerConfig& server : agent.mcp_servers) {
    auto list = lists.find(server.label);
    if (list == lists.end()) continue;
    for (const tools::ServerTool& tool : list->second) {
      std::string name = name_for(server.label, tool.name, taken);
      taken.insert(name);
      offered.push_back({std::move(name), tool.description, tool.parameters, server.label,
                         tool.name, tool.repeat_class, server.url});
    }
  }
  return offered;
}

const OfferedTool* find_tool(const OfferedTools& offered, std::string_view name) {
  auto found = std::ranges::find(offered, name, &OfferedTool::name);
  return found == offered.end() ? nullptr : &*found;
}

}  // namespace perdure::engine
