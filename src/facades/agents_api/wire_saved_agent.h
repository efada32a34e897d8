// Saved agents on the wire: bodies as definitions, definitions as configurations, and both as JSON.
//
// A saved agent's settings are the members of an inline agent, read by the same code, so that both
// honour and refuse the same things. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/engine.h"
#include "facades/common/json_reader.h"
#include "resources/saved_agents.h"

namespace perdure::facades::agents_api {

/// POST /agents: AgentCreateParams. `body` has passed check_body.
Result<resources::AgentDefinition> read_new_agent(std::string_view body);

/// POST /agents/{id}: AgentUpdateParams, over what is there. A member that is missing stays, one
/// that is given is replaced whole, null resets it; `experimental` alone merges by key.
Result<resources::AgentDefinition> read_changed_agent(std::string_view body,
                                                      const resources::AgentDefinition& current);

/// What a session made of it pins: SessionCreateParams.agent over the saved one by the same rules.
/// Errors name members of the session's `agent`.
Result<engine::AgentConfig> read_overridden_agent(const resources::SavedAgent& saved,
                                                  const std::optional<JsonField>& overrides);

/// kInternal for a stored agent that this server cannot read.
Result<std::string> saved_agent_json(const resources::SavedAgent& agent);
/// A list of agents, or of one agent's versions, whose cursors are the numbers.
Result<std::string> saved_agent_list_json(const resources::AgentList& list, bool of_versions);
std::string deleted_agent_json(std::string_view id);

}  // namespace perdure::facades::agents_api
