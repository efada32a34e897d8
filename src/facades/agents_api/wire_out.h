// The engine's views and events as the Agents API's JSON text. Pure functions.
//
// Every member that the SDK's types require is present, as null where there is nothing to say. Tool
// arguments, schemas and tool outputs are spliced in as the bytes they came as.
#pragma once

#include <string>
#include <string_view>

#include "engine/engine.h"
#include "engine/session_event.h"
#include "engine/session_view.h"
#include "facades/common/json_writer.h"

namespace perdure::facades::agents_api {

/// Whether an agent's tool_search stands among its tools: in a saved one it does, in a session's it
/// does not.
enum class ToolSearch { kShown, kHidden };

/// The members `model` to `multi_agent` of an agent, a session's or a saved one.
void append_agent_settings(ObjectWriter& object, const engine::AgentConfig& agent,
                           ToolSearch search);

void append_session(std::string& out, const engine::SessionView& session);
void append_turn(std::string& out, const engine::TurnView& turn);
void append_item(std::string& out, const engine::ItemView& item);

/// One event's payload, without padding.
void append_event(std::string& out, const engine::SessionEvent& event);

std::string session_json(const engine::SessionView& session);
std::string deleted_session_json(std::string_view id);

// {"object":"list","data":[…],"first_id","last_id","has_more"}
using SessionList = engine::Listed<std::shared_ptr<const engine::SessionView>>;
std::string list_json(const SessionList& sessions);
std::string list_json(const engine::Listed<engine::ItemView>& items);
std::string list_json(const engine::Listed<engine::TurnView>& turns);

}  // namespace perdure::facades::agents_api
