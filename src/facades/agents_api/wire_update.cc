#include "facades/agents_api/wire_update.h"

#include <fmt/format.h>

#include <algorithm>

#include "facades/agents_api/wire_agent.h"
#include "facades/agents_api/wire_metadata.h"
#include "facades/agents_api/wire_session_settings.h"
#include "facades/common/json_reader.h"
#include "facades/common/json_writer.h"

namespace perdure::facades::agents_api {
namespace {

using engine::AgentConfig;
using engine::SessionChanges;

/// Refuses members of the object that a creation takes and an update does not.
Result<void> refuse_fixed(const JsonObject& object, std::initializer_list<std::string_view> fixed) {
  for (std::string_view name : fixed)
    if (auto field = object.find(name))
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("Invalid parameter: '{}' cannot be changed after the session was "
                              "created.",
                              field->path),
                  field->path);
  return {};
}

/// SessionUpdateParams.Agent. What a creation reads is read by the same reader.
Result<void> read_agent_changes(const JsonField& field, SessionChanges& changes) {
  TRY(object, JsonObject::read(field));
  TRY_VOID(
      refuse_fixed(object, {"instructions", "text", "multi_agent", "compaction", "experimental"}));
  TRY_VOID(object.allow({"model", "reasoning", "service_tier", "tools"}));
  bool effort = false;
  if (auto reasoning_field = object.find("reasoning")) {
    TRY(reasoning, JsonObject::read(*reasoning_field));
    TRY_VOID(refuse_fixed(reasoning, {"summary"}));
    TRY_VOID(reasoning.allow({"effort"}));
    effort = reasoning.find("effort").has_value();
  }
  std::string text;
  ObjectWriter settings(text);
  for (const RawMember& member : object.members()) settings.raw(member.key, member.value);
  if (!object.find("model")) settings.text("model", "unchanged");
  settings.end();
  TRY(readable, JsonObject::read({text, field.path}));
  TRY(agent, read_agent_settings(readable));
  if (object.find("model")) changes.model = agent.model;
  if (effort) changes.reasoning_effort = agent.reasoning_effort;
  if (object.find("service_tier")) changes.service_tier = agent.service_tier;
  if (object.find("tools")) take_tools(changes.tools.emplace(), agent);
  return {};
}

}  // namespace

Result<SessionChanges> read_update_session(std::string_view text) {
  TRY(body, JsonObject::read({text, {}}));
  TRY_VOID(
      refuse_fixed(body, {"agent_id", "agent_version", "environment", "role_arn", "vault_ids"}));
  TRY_VOID(body.allow({"agent", "metadata", "prompt_cache_options", "review", "spend_control"}));
  SessionChanges changes;
  if (auto agent = body.find("agent")) TRY_VOID(read_agent_changes(*agent, changes));
  if (body.find("metadata")) {
    TRY(metadata, read_metadata(body));
    changes.metadata = std::move(metadata);
  }
  TRY_VOID(check_review(body));
  TRY(cache_ttl, read_cache_ttl(body));
  auto cache_options = body.find("prompt_cache_options");
  if (cache_ttl || (cache_options && cache_options->is_null()))
    changes.cache_ttl = std::move(cache_ttl);
  if (body.find("spend_control")) {
    TRY(limit, read_spend_limit(body));
    changes.spend_limit = limit;
  }
  return changes;
}

Result<void> check_update(const engine::Engine& engine, const SessionChanges& changes,
                          const engine::SessionView& after) {
  constexpr std::string_view kModel = "agent.model";
  const AgentConfig& agent = *after.agent;
  if (changes.tools) {
    TRY_VOID(check_mcp_servers(
        agent, [&](std::string_view url) { return engine.admit_tool_server(url); }));
    for (const engine::FunctionConfig& given : agent.server_tools)
      if (std::ranges::find(agent.functions, given.name, &engine::FunctionConfig::name) !=
          agent.functions.end())
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("Invalid 'agent.tools': this server gave the session a tool of the "
                                "name '{}' already.",
                                given.name),
                    "agent.tools");
  }
  auto capabilities = engine.capabilities(agent.model);
  if (changes.model && !capabilities)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid '{}': {}", kModel, capabilities.error().message),
                std::string(kModel));
  if (capabilities) {
    if (changes.cache_ttl) TRY_VOID(check_cache_ttl(after.cache_ttl, agent.model, *capabilities));
    auto checked = check_capabilities(agent, *capabilities);
    bool named = !checked && checked.error().param == "agent.service_tier" && changes.service_tier;
    if (named) return checked;
    if (checked) checked = check_cache_ttl(after.cache_ttl, agent.model, *capabilities);
    // What the session had before stands in the new model's way, not in another change's.
    if (!checked && changes.model)
      return fail(ErrorCode::kInvalidArgument, checked.error().message, std::string(kModel));
    bool unseen = (after.images && !capabilities->images) ||
                  (after.remote_images && !capabilities->remote_images);
    if (changes.model && unseen)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("Invalid '{}': the conversation has images that the provider of the "
                              "model '{}' does not take.",
                              kModel, agent.model),
                  std::string(kModel));
  }
  if (after.spend_limit && (changes.model || changes.spend_limit))
    if (auto priced = engine.priced(agent.model); !priced)
      return fail(ErrorCode::kInvalidArgument, priced.error().message,
                  changes.model ? std::string(kModel) : "spend_control.limit");
  return {};
}

}  // namespace perdure::facades::agents_api
