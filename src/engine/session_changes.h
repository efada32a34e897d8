// What a client changes of a session that is there: a value that both the command and its entry
// hold.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "engine/session_view.h"

namespace perdure::engine {

/// What is not given stays as it is.
struct SessionChanges {
  // Of the agent, from the next turn on.
  std::optional<std::string> model;
  std::optional<std::optional<std::string>>
      reasoning_effort;  ///< an empty one: the model's default
  std::optional<std::string> service_tier;
  /// From the next model call on. Only the tools of this agent count, and they are all there are.
  std::optional<AgentConfig> tools;

  /// For turns to come: "30m" or "12h"; an empty one: the model's default.
  std::optional<std::optional<std::string>> cache_ttl;
  std::optional<std::map<std::string, std::string>> metadata;  ///< all of it
  std::optional<std::optional<models::Money>> spend_limit;     ///< an empty one: none

  bool of_agent() const { return model || reasoning_effort || service_tier || tools; }
  bool empty() const { return !of_agent() && !cache_ttl && !metadata && !spend_limit; }
};

/// Gives `agent` the tools of `from`, and no others.
void take_tools(AgentConfig& agent, const AgentConfig& from);

}  // namespace perdure::engine
