#include "engine/tool_search.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/raw_json.h"
#include "engine/limits.h"
#include "engine/routing.h"

namespace perdure::engine {
namespace {

bool is_deferred(const AgentConfig& agent, const FunctionConfig& function) {
  return agent.tool_search && function.deferred;
}

models::FunctionTool tool_of(const FunctionConfig& function) {
  return {function.name, function.description, function.parameters, function.strict};
}

const FunctionConfig* find_deferred(const AgentConfig& agent, std::string_view name) {
  auto found = std::ranges::find(agent.functions, name, &FunctionConfig::name);
  bool is_one = found != agent.functions.end() && is_deferred(agent, *found);
  return is_one ? &*found : nullptr;
}

/// The first line of a description, and not too much of it.
std::string gist_of(std::string_view description) {
  std::string_view line = description.substr(0, description.find('\n'));
  std::size_t length = std::min(line.size(), kMaxGistBytes);
  while (length < line.size() && length > 0 &&
         (static_cast<unsigned char>(line[length]) & 0xc0) == 0x80)
    --length;
  std::string gist(line.substr(0, length));
  if (length < description.size()) gist += " …";
  return gist;
}

std::string list_of_names(const AgentConfig& agent) {
  std::string names;
  std::size_t shown = 0, all = 0;
  for (const FunctionConfig& function : agent.functions) {
    if (!is_deferred(agent, function)) continue;
    if (++all > kMaxNamesShown) continue;
    if (shown++ > 0) names += ", ";
    names += function.name;
  }
  if (all > shown) names += fmt::format(" and {} more", all - shown);
  return names;
}

}  // namespace

bool offers_tool_search(const AgentConfig& agent) {
  return std::ranges::any_of(agent.functions, [&](const FunctionConfig& function) {
    return is_deferred(agent, function);
  });
}

std::vector<models::FunctionTool> listed_functions(const AgentConfig& agent) {
  std::vector<models::FunctionTool> tools;
  for (const FunctionConfig& function : agent.functions)
    if (!is_deferred(agent, function)) tools.push_back(tool_of(function));
  for (const FunctionConfig& tool : agent.server_tools) tools.push_back(tool_of(tool));
  if (offers_tool_search(agent))
    tools.push_back(
        {std::string(kToolSearch),
         "Finds more functions that you can call. Beside the functions you see there are others "
         "that are not listed until you search for them. Search before you say that you cannot do "
         "something. What is found can be called from your next step on.",
         R"({"type":"object","properties":{"query":{"type":"string","description":"A few words that say what the function should do, or its name"}},"required":["query"],"additionalProperties":false})"});
  return tools;
}

std::vector<models::FunctionTool> loaded_functions(const AgentConfig& agent,
                                                   const std::vector<std::string>& found) {
  std::vector<models::FunctionTool> tools;
  for (const std::string& name : found)
    if (const FunctionConfig* function = find_deferred(agent, name))
      tools.push_back(tool_of(*function));
  return tools;
}

FunctionIndex index_of_deferred(const AgentConfig& agent) {
  FunctionIndex index;
  for (const FunctionConfig& function : agent.functions)
    if (is_deferred(agent, function)) index.add(function);
  return index;
}

ToolsFoundBody search_tools(const AgentConfig& agent, const FunctionIndex& index,
                            std::string_view arguments) {
  ToolsFoundBody body;
  if (check_strict_json(arguments))
    if (auto value = parse_json(arguments); value && value->is_object())
      body.query = get_string(value->get_object(), "query");
  if (body.query.find_first_not_of(" \t\r\n") == std::string::npos) {
    body.query.clear();
    body.output =
        R"(Nothing was searched for: give a few words that say what the function should do, like {"query": "send a message"}.)";
    return body;
  }
  body.query.resize(std::min(body.query.size(), kMaxSearchBytes));
  while (!is_valid_utf8(body.query)) body.query.pop_back();
  body.functions = index.search(body.query, kMaxFunctionsFound);
  if (body.functions.empty() && !offers_tool_search(agent)) {
    body.output = "There are no functions to find any more: those that you see are all.";
    return body;
  }
  if (body.functions.empty()) {
    body.output = fmt::format(
        "No function fits these words. Search for other words, or for one of these names: {}.",
        list_of_names(agent));
    return body;
  }
  body.output = "Found, and can be called from now on:";
  for (const std::string& name : body.functions)
    body.output +=
        fmt::format("\n- {}: {}", name, gist_of(find_deferred(agent, name)->description));
  return body;
}

void forget_lost(std::vector<std::string>& loaded, const AgentConfig& agent) {
  std::erase_if(loaded, [&](const std::string& name) { return !find_deferred(agent, name); });
}

std::vector<std::string> add_found(std::vector<std::string>& loaded,
                                   const std::vector<std::string>& found) {
  std::vector<std::string> added;
  for (const std::string& name : found) {
    if (std::ranges::find(loaded, name) != loaded.end()) continue;
    loaded.push_back(name);
    added.push_back(name);
  }
  return added;
}

std::int64_t tokens_of(const std::vector<models::FunctionTool>& tools) {
  std::int64_t tokens = 0;
  for (const models::FunctionTool& tool : tools)
    tokens += tokens_of_text(tool.name.size() + tool.description.size() + tool.parameters.size());
  return tokens;
}

}  // namespace perdure::engine
