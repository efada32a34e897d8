#include "facades/agents_api/wire_agent.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "facades/agents_api/limits.h"
#include "http/url.h"

namespace perdure::facades::agents_api {
namespace {

using engine::AgentConfig;
using engine::FunctionConfig;
using engine::McpServerConfig;

constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

/// A JSON Schema whose root describes an object, as its own text.
Result<std::string> read_object_schema(const JsonField& field) {
  TRY(schema, JsonObject::read(field));
  auto type = schema.find("type");
  if (type && type->raw == "\"object\"") return std::string(field.raw);
  std::string message = fmt::format("{} must have top-level type \"object\"", field.path);
  if (type && type->kind() == JsonKind::kString)
    message += fmt::format("; got \"{}\"", decode_json_string(type->raw).substr(0, 64));
  return fail(ErrorCode::kInvalidArgument, std::move(message), field.path);
}

Result<std::string> read_name(const JsonField& field, std::size_t most) {
  TRY(name, read_text(field));
  if (name.size() > most)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid '{}': string too long. Expected a string with maximum length "
                            "{}, but got a string with length {} instead.",
                            field.path, most, character_count(name)),
                field.path);
  if (name.find_first_not_of(kNameCharacters) != std::string::npos)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid '{}': string does not match pattern. Expected a string that "
                            "matches the pattern '^[a-zA-Z0-9_-]+$'.",
                            field.path),
                field.path);
  return name;
}

/// A flag whose only supported value is false.
Result<void> refuse_true(const JsonObject& object, std::string_view key, std::string_view what) {
  auto field = object.find(key);
  if (!field) return {};
  TRY(value, read_boolean(*field));
  if (value) return not_supported(field->path, what);
  return {};
}

Result<FunctionConfig> read_function(const JsonObject& tool) {
  TRY_VOID(tool.allow({"type", "name", "description", "parameters", "async", "defer_loading"}));
  FunctionConfig function;
  TRY(name_field, tool.require("name"));
  TRY(name, read_name(name_field, kMaxFunctionName));
  TRY(description_field, tool.require("description"));
  TRY(description, read_string(description_field));
  TRY(parameters_field, tool.require("parameters"));
  TRY(parameters, read_object_schema(parameters_field));
  if (auto async_field = tool.find("async")) {
    TRY(async, read_boolean(*async_field));
    function.async = async;
  }
  if (auto deferred_field = tool.find("defer_loading")) {
    TRY(deferred, read_boolean(*deferred_field));
    function.deferred = deferred;
  }
  function.name = std::move(name);
  function.description = std::move(description);
  function.parameters = std::move(parameters);
  return function;
}

/// A member that may be absent, null or an empty object.
Result<void> refuse_members(const JsonObject& object, std::string_view key, std::string_view what) {
  auto field = object.find_value(key);
  if (!field) return {};
  TRY(value, JsonObject::read(*field));
  if (!value.members().empty()) return not_supported(field->path, what);
  return {};
}

/// McpTransportParam: the server's URL.
Result<std::string> read_transport(const JsonField& field) {
  TRY(transport, JsonObject::read(field));
  TRY(type_field, transport.require("type"));
  TRY(type, read_choice(type_field, {"http", "stdio"}));
  if (type == "stdio")
    return not_supported(type_field.path, "An MCP server that is started as a process");
  TRY_VOID(transport.allow({"type", "server_url", "authorization", "headers"}));
  TRY(url_field, transport.require("server_url"));
  TRY(url, read_text(url_field));
  auto parsed = http::parse_url(url);
  if (!parsed || url.size() > kMaxServerUrl)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid '{}': {}", url_field.path,
                            parsed ? "the URL is too long." : parsed.error().message),
                url_field.path);
  // They would stand in the session's log; the operator's configuration has a place for them.
  if (auto authorization = transport.find_value("authorization"))
    return not_supported(authorization->path, "A credential in the request");
  TRY_VOID(refuse_members(transport, "headers", "Sending header fields to an MCP server"));
  return url;
}

Result<std::vector<std::string>> read_allowed_tools(const JsonField& field) {
  TRY(entries, read_array(field));
  if (entries.size() > kMaxAllowedTools)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid '{}': array too long. Expected an array with maximum length "
                            "{}, but got an array with length {} instead.",
                            field.path, kMaxAllowedTools, entries.size()),
                field.path);
  std::vector<std::string> names;
  for (const JsonField& entry : entries) {
    TRY(name, read_text(entry));
    names.push_back(std::move(name));
  }
  return names;
}

/// AgentToolConfigParamMcp
Result<McpServerConfig> read_mcp_server(const JsonObject& tool) {
  TRY_VOID(tool.allow({"type", "server_label", "transport", "allowed_tools", "connection_origin",
                       "credential_id", "request_metadata", "required"}));
  McpServerConfig server;
  TRY(label_field, tool.require("server_label"));
  TRY(label, read_name(label_field, kMaxServerLabel));
  TRY(transport_field, tool.require("transport"));
  TRY(url, read_transport(transport_field));
  if (auto allowed = tool.find_value("allowed_tools")) {
    TRY(names, read_allowed_tools(*allowed));
    server.allowed_tools = std::move(names);
  }
  if (auto origin_field = tool.find_value("connection_origin")) {
    TRY(origin, read_choice(*origin_field, {"service", "environment"}));
    if (origin != "service")
      return not_supported(origin_field->path, "Connecting from the session's environment");
  }
  if (auto credential = tool.find_value("credential_id")) {
    TRY_VOID(read_text(*credential));
    return not_supported(credential->path, "A credential of a vault");
  }
  TRY_VOID(refuse_members(tool, "request_metadata", "Metadata for an MCP server"));
  if (auto required_field = tool.find("required")) {
    TRY(required, read_boolean(*required_field));
    server.required = required;
  }
  server.label = std::move(label);
  server.url = std::move(url);
  return server;
}

struct Tools {
  std::vector<FunctionConfig> functions;
  std::vector<McpServerConfig> mcp_servers;
  std::optional<std::size_t> tool_search;
};

/// AgentToolConfigParamToolSearch
Result<void> add_tool_search(const JsonObject& tool, std::size_t position, Tools& tools) {
  TRY_VOID(tool.allow({"type"}));
  if (tools.tool_search)
    return fail(ErrorCode::kInvalidArgument, "Duplicate tool: an agent has one 'tool_search'.");
  tools.tool_search = position;
  return {};
}

/// What the functions and the search for them ask of each other; `paths` are those of the
/// functions.
Result<void> check_tool_search(const Tools& tools, const std::vector<std::string>& paths) {
  for (std::size_t i = 0; i < tools.functions.size(); ++i) {
    const FunctionConfig& function = tools.functions[i];
    if (function.deferred && !tools.tool_search)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("Invalid '{}.defer_loading': a deferred function is found by a tool "
                              "of the type 'tool_search', and there is none among the tools.",
                              paths[i]),
                  paths[i] + ".defer_loading");
    if (function.name == engine::kToolSearch && tools.tool_search)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("Invalid '{}.name': '{}' is what the model calls to search for "
                              "functions; choose another name.",
                              paths[i], function.name),
                  paths[i] + ".name");
  }
  return {};
}

Result<void> add_mcp_server(const JsonObject& tool, std::size_t position, Tools& tools) {
  TRY(server, read_mcp_server(tool));
  if (std::ranges::find(tools.mcp_servers, server.label, &McpServerConfig::label) !=
      tools.mcp_servers.end())
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Duplicate MCP server label: '{}'.", server.label),
                tool.path_of("server_label"));
  if (tools.mcp_servers.size() == kMaxMcpServers)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("An agent has at most {} MCP servers.", kMaxMcpServers),
                tool.path_of("type"));
  server.position = position;
  tools.mcp_servers.push_back(std::move(server));
  return {};
}

Result<Tools> read_tools(const JsonField& field) {
  TRY(entries, read_array(field));
  if (field.raw.size() > kMaxToolsBytes && canonical_json(field.raw).size() > kMaxToolsBytes)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid '{}': the tools must fit within {} bytes of compact JSON.",
                            field.path, kMaxToolsBytes),
                field.path);
  Tools tools;
  std::set<std::string> names;
  std::vector<std::string> paths;
  for (std::size_t position = 0; position < entries.size(); ++position) {
    TRY(tool, JsonObject::read(entries[position]));
    TRY(type_field, tool.require("type"));
    TRY(type, read_choice(type_field, {"function", "tool_search", "programmatic_tool_calling",
                                       "mcp", "web_search", "computer_use", "automations"}));
    if (type == "mcp") {
      TRY_VOID(add_mcp_server(tool, position, tools));
      continue;
    }
    if (type == "tool_search") {
      TRY_VOID(add_tool_search(tool, position, tools));
      continue;
    }
    if (type != "function")
      return not_supported(type_field.path, fmt::format("The tool type '{}'", type));
    TRY(function, read_function(tool));
    if (!names.insert(function.name).second)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("Duplicate function tool name: '{}'.", function.name));
    tools.functions.push_back(std::move(function));
    paths.push_back(entries[position].path);
  }
  TRY_VOID(check_tool_search(tools, paths));
  return tools;
}

Result<void> read_reasoning(const JsonField& field, AgentConfig& agent) {
  TRY(reasoning, JsonObject::read(field));
  TRY_VOID(reasoning.allow({"effort", "summary"}));
  if (auto effort = reasoning.find_value("effort")) {
    TRY(value, read_choice(*effort, {"none", "minimal", "low", "medium", "high", "xhigh", "max"}));
    agent.reasoning_effort = std::move(value);
  }
  if (auto summary = reasoning.find_value("summary")) {
    TRY(value, read_choice(*summary, {"concise", "detailed", "auto"}));
    agent.reasoning_summary = std::move(value);
  }
  return {};
}

Result<std::optional<std::string>> read_text_format(const JsonField& field) {
  TRY(format, JsonObject::read(field));
  TRY(type_field, format.require("type"));
  TRY(type, read_choice(type_field, {"text", "json_schema"}));
  if (type == "text") {
    TRY_VOID(format.allow({"type"}));
    return std::nullopt;
  }
  TRY_VOID(format.allow({"type", "schema"}));
  TRY(schema_field, format.require("schema"));
  TRY(schema, read_object_schema(schema_field));
  return schema;
}

Result<void> read_text_config(const JsonField& field, AgentConfig& agent) {
  TRY(text, JsonObject::read(field));
  TRY_VOID(text.allow({"format", "verbosity"}));
  if (auto format = text.find_value("format")) {
    TRY(schema, read_text_format(*format));
    agent.text_schema = std::move(schema);
  }
  if (auto verbosity = text.find_value("verbosity")) {
    TRY(value, read_choice(*verbosity, {"low", "medium", "high"}));
    agent.verbosity = std::move(value);
  }
  return {};
}

Result<std::string> read_service_tier(const JsonField& field) {
  return read_choice(field, {"auto", "default", "flex", "priority", "fast", "ultrafast"});
}

/// Whether compaction is to block; null and nothing mean that it is not.
Result<bool> read_blocking_compaction(const JsonField& field) {
  TRY(compaction, JsonObject::read(field));
  TRY_VOID(compaction.allow({"async"}));
  auto async = compaction.find_value("async");
  if (!async) return false;
  TRY(background, read_boolean(*async));
  return !background;
}

Result<bool> read_time_awareness(const JsonField& field) {
  TRY(experimental, JsonObject::read(field));
  TRY_VOID(experimental.allow({"time_awareness"}));
  auto aware = experimental.find("time_awareness");
  if (!aware) return false;
  return read_boolean(*aware);
}

/// Settings of things this server does not do yet: only values that ask for nothing pass.
Result<void> check_unsupported(const JsonObject& agent) {
  if (auto field = agent.find_value("multi_agent")) {
    TRY(multi_agent, JsonObject::read(*field));
    TRY_VOID(multi_agent.allow({"enabled", "max_concurrent_subagents"}));
    TRY_VOID(multi_agent.require("enabled"));
    TRY_VOID(refuse_true(multi_agent, "enabled", "Running subagents"));
    if (auto most = multi_agent.find("max_concurrent_subagents")) TRY_VOID(read_integer(*most, 1));
  }
  return {};
}

}  // namespace

Result<AgentConfig> read_agent(const std::optional<JsonField>& field) {
  constexpr std::string_view kNoModel = "agent.model is required when agent_id is omitted";
  if (!field) return fail(ErrorCode::kInvalidArgument, std::string(kNoModel), "agent.model");
  TRY(object, JsonObject::read(*field));
  TRY_VOID(object.allow(kAgentSettings));
  if (!object.find("model"))
    return fail(ErrorCode::kInvalidArgument, std::string(kNoModel), object.path_of("model"));
  return read_agent_settings(object);
}

Result<AgentConfig> read_agent_settings(const JsonObject& object) {
  AgentConfig agent;
  TRY(model_field, object.require("model"));
  TRY(model, read_text(model_field));
  if (model.size() > kMaxModelName)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid '{}': string too long. Expected a string with maximum length "
                            "{}, but got a string with length {} instead.",
                            model_field.path, kMaxModelName, character_count(model)),
                model_field.path);
  if (std::ranges::any_of(model, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("Invalid '{}': a model's name has no control characters.", model_field.path),
        model_field.path);
  agent.model = std::move(model);
  if (auto instructions = object.find_value("instructions")) {
    TRY(text, read_string(*instructions));
    agent.instructions = std::move(text);
  }
  if (auto tools = object.find_value("tools")) {
    TRY(read, read_tools(*tools));
    agent.functions = std::move(read.functions);
    agent.mcp_servers = std::move(read.mcp_servers);
    agent.tool_search = read.tool_search;
  }
  if (auto reasoning = object.find_value("reasoning")) TRY_VOID(read_reasoning(*reasoning, agent));
  if (auto text = object.find_value("text")) TRY_VOID(read_text_config(*text, agent));
  if (auto tier_field = object.find_value("service_tier")) {
    TRY(tier, read_service_tier(*tier_field));
    agent.service_tier = std::move(tier);
  }
  if (auto compaction_field = object.find_value("compaction")) {
    TRY(blocking, read_blocking_compaction(*compaction_field));
    agent.blocking_compaction = blocking;
  }
  if (auto experimental = object.find("experimental")) {
    TRY(aware, read_time_awareness(*experimental));
    agent.time_awareness = aware;
  }
  TRY_VOID(check_unsupported(object));
  return agent;
}

Result<void> check_mcp_servers(const AgentConfig& agent, const AdmitToolServer& admit) {
  for (const McpServerConfig& server : agent.mcp_servers) {
    auto admitted = admit(server.url);
    if (admitted) continue;
    std::string path = fmt::format("agent.tools[{}].transport.server_url", server.position);
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid '{}': {}", path, admitted.error().message), path);
  }
  return {};
}

Result<void> check_capabilities(const AgentConfig& agent,
                                const models::Capabilities& capabilities) {
  auto unsupported = [&](std::string_view path) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Unsupported parameter: '{}' is not supported by the provider of the "
                            "model '{}'.",
                            path, agent.model),
                std::string(path));
  };
  if (agent.reasoning_summary && !capabilities.reasoning_summary)
    return unsupported("agent.reasoning.summary");
  // "medium" is what every model does unasked.
  if (agent.verbosity != "medium" && !capabilities.verbosity)
    return unsupported("agent.text.verbosity");
  if (agent.service_tier != "auto" && agent.service_tier != "default" && !capabilities.service_tier)
    return unsupported("agent.service_tier");
  return {};
}

Result<void> check_capabilities(const engine::InputMessage& message, std::string_view path,
                                const models::Capabilities& capabilities) {
  for (const models::ContentPart& part : message.parts) {
    if (!part.is_image()) continue;
    bool data = part.image_url.starts_with("data:");
    if (data ? capabilities.images : capabilities.remote_images) continue;
    return fail(ErrorCode::kInvalidArgument,
                data ? "Unsupported content: the provider of this session's model takes no images."
                     : "Unsupported content: the provider of this session's model fetches no "
                       "images; send them as data URLs.",
                std::string(path));
  }
  return {};
}

}  // namespace perdure::facades::agents_api
