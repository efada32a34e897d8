// The `agent` member of a request: an inline agent's configuration. Pure functions.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "engine/engine.h"
#include "facades/common/json_reader.h"
#include "models/provider.h"

namespace perdure::facades::agents_api {

/// SessionCreateParams.Agent; nullopt where the request has none.
Result<engine::AgentConfig> read_agent(const std::optional<JsonField>& field);

/// The members that configure an agent, inline or saved.
inline constexpr std::initializer_list<std::string_view> kAgentSettings = {
    "model",        "instructions", "tools",      "reasoning",   "text",
    "service_tier", "multi_agent",  "compaction", "experimental"};

/// The settings among an object's members; `model` must be there, others are left alone.
Result<engine::AgentConfig> read_agent_settings(const JsonObject& object);

/// Whether this server uses the tools of a server at a URL.
using AdmitToolServer = std::function<Result<void>(std::string_view url)>;

/// kInvalidArgument with the member's path where the agent names an MCP server that may not be
/// used.
Result<void> check_mcp_servers(const engine::AgentConfig& agent, const AdmitToolServer& admit);

/// kInvalidArgument with the member's path where the agent asks for what its model's provider has
/// no words for.
Result<void> check_capabilities(const engine::AgentConfig& agent,
                                const models::Capabilities& capabilities);

/// The same for a message's content; `path` is the message's or the whole input's.
Result<void> check_capabilities(const engine::InputMessage& message, std::string_view path,
                                const models::Capabilities& capabilities);

}  // namespace perdure::facades::agents_api
