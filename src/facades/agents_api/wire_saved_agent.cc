#include "facades/agents_api/wire_saved_agent.h"

#include <fmt/format.h>

#include <algorithm>

#include "facades/agents_api/limits.h"
#include "facades/agents_api/wire_agent.h"
#include "facades/agents_api/wire_metadata.h"
#include "facades/agents_api/wire_out.h"
#include "facades/common/json_writer.h"

namespace perdure::facades::agents_api {
namespace {

using engine::AgentConfig;
using resources::AgentDefinition;
using resources::SavedAgent;
using Settings = std::map<std::string, std::string>;

constexpr std::string_view kNull = "null";

std::string to_text(const Settings& settings) {
  std::string out;
  ObjectWriter object(out);
  for (const auto& [name, value] : settings) object.raw(name, value);
  object.end();
  return out;
}

/// `over` beside the members of `under` that it does not have.
std::string merged_by_key(std::string_view under, std::string_view over) {
  Settings members;
  for (std::string_view text : {under, over})
    for_each_raw_member(text, [&](std::string_view key, std::string_view value) {
      members.insert_or_assign(std::string(key), std::string(value));
    });
  return to_text(members);
}

/// The settings among `changes` over those that are there. A null stays one, to be judged.
Settings overlay(Settings settings, const JsonObject& changes) {
  for (std::string_view name : kAgentSettings) {
    auto change = changes.find(name);
    if (!change) continue;
    std::string& setting = settings[std::string(name)];
    bool merges = name == "experimental" && !setting.empty() && change->kind() == JsonKind::kObject;
    setting = merges ? merged_by_key(setting, change->raw) : std::string(change->raw);
  }
  return settings;
}

Result<AgentConfig> read_settings(const Settings& settings, std::string path) {
  std::string text = to_text(settings);
  TRY(object, JsonObject::read({text, std::move(path)}));
  return read_agent_settings(object);
}

Result<std::optional<std::string>> read_name(const JsonObject& body) {
  auto field = body.find_value("name");
  if (!field) return std::nullopt;
  TRY(name, read_string(*field));
  if (std::size_t length = character_count(name); length > kMaxAgentName)
    return too_long(field->path, "string", kMaxAgentName, length);
  return name;
}

Result<AgentDefinition> read_definition(std::string_view text, AgentDefinition definition) {
  TRY(body, JsonObject::read({text, {}}));
  TRY_VOID(body.allow({"name", "metadata", "model", "instructions", "tools", "reasoning", "text",
                       "service_tier", "multi_agent", "compaction", "experimental"}));
  definition.settings = overlay(std::move(definition.settings), body);
  TRY_VOID(read_settings(definition.settings, {}));
  std::erase_if(definition.settings, [](const auto& member) { return member.second == kNull; });
  if (body.find("name")) {
    TRY(name, read_name(body));
    definition.name = std::move(name);
  }
  if (body.find("metadata")) {
    TRY(metadata, read_metadata(body));
    definition.metadata = std::move(metadata);
  }
  return definition;
}

Result<void> append_saved_agent(std::string& out, const SavedAgent& agent) {
  auto config = read_settings(agent.definition.settings, {});
  if (!config)
    return fail(ErrorCode::kInternal, fmt::format("the saved agent '{}' cannot be read: {}",
                                                  agent.id, config.error().message));
  ObjectWriter object(out);
  object.text("id", agent.id)
      .text("object", "agent")
      .number("created_at", agent.created / 1000)
      .number("updated_at", agent.updated / 1000)
      .number("version", static_cast<std::int64_t>(agent.version))
      .text_or_null("name", agent.definition.name);
  append_agent_settings(object, *config, ToolSearch::kShown);
  ObjectWriter metadata(object.begin("metadata"));
  for (const auto& [key, value] : agent.definition.metadata) metadata.text(key, value);
  metadata.end();
  object.end();
  return {};
}

}  // namespace

Result<AgentDefinition> read_new_agent(std::string_view body) {
  return read_definition(body, {});
}

Result<AgentDefinition> read_changed_agent(std::string_view body, const AgentDefinition& current) {
  return read_definition(body, current);
}

Result<AgentConfig> read_overridden_agent(const SavedAgent& saved,
                                          const std::optional<JsonField>& overrides) {
  Settings settings = saved.definition.settings;
  if (overrides) {
    TRY(object, JsonObject::read(*overrides));
    TRY_VOID(object.allow(kAgentSettings));
    settings = overlay(std::move(settings), object);
  }
  TRY(config, read_settings(settings, "agent"));
  config.id = saved.id;
  config.version = saved.version;
  config.name = saved.definition.name;
  return config;
}

Result<std::string> saved_agent_json(const SavedAgent& agent) {
  std::string out;
  TRY_VOID(append_saved_agent(out, agent));
  return out;
}

Result<std::string> saved_agent_list_json(const resources::AgentList& list, bool of_versions) {
  auto cursor_of = [of_versions](const SavedAgent& agent) {
    return of_versions ? std::to_string(agent.version) : agent.id;
  };
  std::string out;
  ObjectWriter object(out);
  object.text("object", "list");
  Result<void> written;
  append_array(object.begin("data"), list.data, [&](std::string& to, const SavedAgent& agent) {
    if (written) written = append_saved_agent(to, agent);
  });
  TRY_VOID(written);
  if (list.data.empty())
    object.null("first_id").null("last_id");
  else
    object.text("first_id", cursor_of(list.data.front()))
        .text("last_id", cursor_of(list.data.back()));
  object.boolean("has_more", list.has_more).end();
  return out;
}

std::string deleted_agent_json(std::string_view id) {
  std::string out;
  ObjectWriter(out).text("id", id).text("object", "agent.deleted").boolean("deleted", true).end();
  return out;
}

}  // namespace perdure::facades::agents_api
