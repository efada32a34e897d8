// Whatever body a client sends to the Agents API, it is refused with an error that can be shown, or
// becomes a command whose parts the rest of the server may rely on: texts are text, JSON is JSON.
//
// The first byte says which request it is the body of.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/raw_json.h"
#include "facades/agents_api/wire_in.h"
#include "facades/agents_api/wire_saved_agent.h"
#include "facades/agents_api/wire_update.h"

namespace {

namespace api = perdure::facades::agents_api;
namespace engine = perdure::engine;

void demand(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "violated: %s\n", promise);
  std::abort();
}

void check_error(const perdure::Error& error) {
  demand(perdure::is_valid_utf8(error.message), "an error is text");
  demand(perdure::is_valid_utf8(error.param), "a path is text");
  demand(error.code == perdure::ErrorCode::kInvalidArgument ||
             error.code == perdure::ErrorCode::kUnimplemented ||
             error.code == perdure::ErrorCode::kTooLarge,
         "a body is the client's fault");
  demand(!error.message.empty(), "an error has a sentence");
}

bool is_json(std::string_view text) {
  return perdure::check_strict_json(text).has_value();
}

void check_agent(const engine::AgentConfig& agent) {
  demand(!agent.model.empty() && perdure::is_valid_utf8(agent.model), "an agent has a model");
  for (const engine::FunctionConfig& function : agent.functions) {
    demand(!function.name.empty(), "a function has a name");
    demand(perdure::is_valid_utf8(function.description), "a description is text");
    demand(is_json(function.parameters), "parameters are JSON");
  }
  for (const engine::McpServerConfig& server : agent.mcp_servers)
    demand(!server.label.empty() && !server.url.empty(), "a server has a label and a URL");
  demand(!agent.text_schema || is_json(*agent.text_schema), "a schema is JSON");
}

void check_input(const engine::Input& input) {
  if (const auto* message = std::get_if<engine::InputMessage>(&input))
    for (const auto& part : message->parts)
      demand(perdure::is_valid_utf8(part.text), "a message is text");
  const auto* result = std::get_if<engine::InputToolResult>(&input);
  if (result && result->output) demand(is_json(*result->output), "an output is JSON");
}

/// A definition that was taken can be shown, and be made a session of.
void check_definition(const perdure::Result<perdure::resources::AgentDefinition>& definition) {
  if (!definition) return check_error(definition.error());
  const perdure::resources::SavedAgent saved{.id = "agent_0123456789abcdefghijklmn",
                                             .definition = *definition};
  auto shown = api::saved_agent_json(saved);
  demand(shown && is_json(*shown), "a saved agent can be shown");
  auto agent = api::read_overridden_agent(saved, std::nullopt);
  demand(agent.has_value(), "a saved agent can be used");
  check_agent(*agent);
  auto same = api::read_changed_agent("{}", *definition);
  demand(same && same->settings == definition->settings, "an empty update changes nothing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto body = api::check_body(text);
  if (!body) {
    check_error(body.error());
    return 0;
  }
  switch (data[0] % 4) {
    case 0:
      if (auto create = api::read_create_session(*body)) {
        check_agent(create->command.agent);
        for (const engine::InputMessage& message : create->command.input) check_input(message);
        demand(api::read_stream_wish(*body).has_value(), "what was taken is taken again");
      } else {
        check_error(create.error());
      }
      break;
    case 1:
      if (auto events = api::read_events(*body)) {
        for (const engine::Input& input : *events) check_input(input);
        demand(api::read_result_images(*body).has_value(), "images of what was taken are found");
      } else {
        check_error(events.error());
      }
      break;
    case 2:
      if (auto changes = api::read_update_session(*body)) {
        if (changes->tools)
          for (const engine::FunctionConfig& function : changes->tools->functions)
            demand(is_json(function.parameters), "parameters are JSON");
      } else {
        check_error(changes.error());
      }
      break;
    default:
      check_definition(api::read_new_agent(*body));
  }
  return 0;
}
