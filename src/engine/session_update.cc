#include "engine/session_update.h"

#include <algorithm>

#include "engine/batch.h"
#include "engine/routing.h"
#include "engine/tool_search.h"

namespace perdure::engine {
namespace {

/// Whether the list that was had of one server is a list of the other.
bool same_list(const McpServerConfig& one, const McpServerConfig& other) {
  return one.label == other.label && one.url == other.url &&
         one.allowed_tools == other.allowed_tools;
}

std::vector<std::string> stale_lists(const AgentConfig& before, const AgentConfig& after) {
  std::vector<std::string> labels;
  for (const McpServerConfig& server : before.mcp_servers)
    if (std::ranges::none_of(after.mcp_servers, [&](const McpServerConfig& other) {
          return same_list(server, other);
        }))
      labels.push_back(server.label);
  return labels;
}

bool contains(const std::vector<std::string>& labels, std::string_view label) {
  return std::ranges::find(labels, label) != labels.end();
}

AgentConfig changed(AgentConfig agent, const SessionChanges& changes) {
  if (changes.model) agent.model = *changes.model;
  if (changes.reasoning_effort) agent.reasoning_effort = *changes.reasoning_effort;
  if (changes.service_tier) agent.service_tier = *changes.service_tier;
  if (changes.tools) take_tools(agent, *changes.tools);
  return agent;
}

}  // namespace

Result<void> add_update(Batch& batch, SessionChanges changes) {
  SessionUpdatedBody body{.changes = std::move(changes)};
  if (body.changes.tools) {
    body.stale_lists = stale_lists(*batch.state().agent, *body.changes.tools);
    // Of a server that is asked now: its answer would be taken for the new one's.
    std::vector<OpenToolList> open;
    if (batch.state().turn) open = batch.state().turn->lists;
    for (const OpenToolList& list : open) {
      if (!contains(body.stale_lists, list.server)) continue;
      ToolListEndedBody ended{
          .turn = batch.state().turn->seq, .list = list.seq, .server = list.server};
      ended.error = "The session's tools were changed while the list was asked for.";
      TRY_VOID(batch.add(journal::kToolListEnded, ended));
      batch.close_effects.push_back(std::to_string(list.seq));
    }
  }
  TRY_VOID(batch.add(journal::kSessionUpdated, body));
  return {};
}

void note_update(SessionState& state, const SessionUpdatedBody& body) {
  const SessionChanges& changes = body.changes;
  if (changes.of_agent()) {
    const auto tokens_of_tools = [&] {
      return tokens_of(*state.agent) + tokens_of(loaded_functions(*state.agent, state.loaded));
    };
    const std::int64_t tokens = tokens_of_tools();
    auto shown = std::make_shared<const AgentConfig>(
        changed(state.next_agent ? *state.next_agent : *state.agent, changes));
    if (!state.turn) {
      state.agent = std::move(shown);
    } else {
      state.next_agent = std::move(shown);
      if (changes.tools)
        state.agent = std::make_shared<const AgentConfig>(
            changed(*state.agent, SessionChanges{.tools = changes.tools}));
    }
    if (changes.tools) forget_lost(state.loaded, *changes.tools);
    state.context_tokens += tokens_of_tools() - tokens;
  }
  std::erase_if(state.tool_lists,
                [&](const ToolListState& list) { return contains(body.stale_lists, list.server); });
  if (changes.cache_ttl) state.cache_ttl = *changes.cache_ttl;
  if (changes.metadata) state.metadata = *changes.metadata;
  if (changes.spend_limit) state.spend_limit = *changes.spend_limit;
}

void adopt_next_agent(SessionState& state) {
  if (state.next_agent) state.agent = std::exchange(state.next_agent, nullptr);
}

}  // namespace perdure::engine
