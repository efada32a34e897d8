#include "tools/registry.h"

#include <algorithm>
#include <stdexcept>

namespace perdure::tools {
namespace {

bool is_tool_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

void Registry::add(std::unique_ptr<Tool> tool) {
  std::string name(tool->name());
  if (!is_tool_name(name)) throw std::logic_error("not a tool's name: '" + name + "'");
  if (!tools_.emplace(name, std::move(tool)).second)
    throw std::logic_error("two tools are named '" + name + "'");
}

Tool* Registry::find(std::string_view name) const {
  const auto found = tools_.find(name);
  return found == tools_.end() ? nullptr : found->second.get();
}

std::vector<Tool*> Registry::all() const {
  std::vector<Tool*> tools;
  tools.reserve(tools_.size());
  for (const auto& [name, tool] : tools_) tools.push_back(tool.get());
  return tools;
}

}  // namespace perdure::tools
