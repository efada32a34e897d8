// The `agent` member of a request: an inline agent's configuration. Pure functions.
#pragma once

#include <optional>

#include "base/error.h"
#include "engine/session_view.h"
#include "facades/common/json_reader.h"

namespace perdure::facades::agents_api {

/// SessionCreateParams.Agent; nullopt where the request has none.
Result<engine::AgentConfig> read_agent(const std::optional<JsonField>& field);

}  // namespace perdure::facades::agents_api
