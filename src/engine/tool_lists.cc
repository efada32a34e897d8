// What a session's actor asks of servers outside: their lists of tools, and calls of those tools.
#include <algorithm>

#include "base/log.h"
#include "engine/session_actor.h"
#include "tools/server_tools.h"

namespace perdure::engine {
namespace {

std::optional<McpServerConfig> server_of(const AgentConfig& agent, std::string_view label) {
  auto found = std::ranges::find(agent.mcp_servers, label, &McpServerConfig::label);
  if (found == agent.mcp_servers.end()) return std::nullopt;
  return *found;
}

bool is_allowed(const McpServerConfig& server, const tools::ServerTool& tool) {
  return !server.allowed_tools ||
         std::ranges::find(*server.allowed_tools, tool.name) != server.allowed_tools->end();
}

/// What the model is told of a call that did not end well.
std::string told(const tools::ToolResult& result) {
  if (!result.unknown) return result.output;
  return "The outcome of this call is unknown. " + result.output +
         " It may or may not have taken effect. Check before you call it again.";
}

}  // namespace

void SessionActor::start_list(const Committed&, OpenToolList list) {
  if (draining() || stop_in_force() || !is_open(list.seq)) return;
  ++core_.effects_running;
  running_[list.seq] = std::make_shared<Running>();
  std::string name = "tools of " + list.server;
  async::spawn(core_.parts.executor, std::move(name), run_list(std::move(list)));
}

void SessionActor::start_lost_lists(const Committed& receipt) {
  if (!state_.turn) return;
  std::vector<OpenToolList> lists = state_.turn->lists;
  for (OpenToolList& list : lists)
    if (!running_.contains(list.seq)) start_list(receipt, std::move(list));
}

Task<> SessionActor::run_list(OpenToolList list) {
  RunningScope scope(shared_from_this(), list.seq);
  async::CancelToken cancel = running_.at(list.seq)->cancel.token();
  ToolListEndedBody body{.list = list.seq, .server = list.server};
  auto server = server_of(*state_.agent, list.server);
  if (server) {
    auto listed = co_await list_tools(*server, cancel);
    if (listed)
      for (tools::ServerTool& tool : *listed)
        if (is_allowed(*server, tool)) body.tools.push_back(std::move(tool));
    if (!listed) body.error = listed.error().message;
  } else {
    body.error = "The agent does not name this server any more.";
  }
  if (body.error && !cancel.cancelled())
    log::warn("the tools of a server are not known",
              {{"session", key_.session.value}, {"server", list.server}, {"why", *body.error}});
  bool happened = !body.error;
  auto add_end = [&](Batch& batch, const Error* refused) -> Result<void> {
    ToolListEndedBody end = body;
    end.turn = batch.state().turn->seq;
    if (refused) {
      end.tools.clear();
      end.error = "The list could not be stored: " + refused->message;
    }
    TRY_VOID(batch.add(journal::kToolListEnded, end));
    return {};
  };
  co_await store_end(list.seq, happened, add_end);
}

Task<Result<std::vector<tools::ServerTool>>> SessionActor::list_tools(McpServerConfig server,
                                                                      async::CancelToken cancel) {
  tools::ServerTools* servers = core_.parts.server_tools;
  if (!servers) co_return fail(ErrorCode::kUnimplemented, "This server uses no others' tools.");
  if (cancel.cancelled() || stop_in_force())
    co_return fail(ErrorCode::kCancelled, "The turn has ended.");
  try {
    co_return co_await servers->list(key_, {server.label, server.url}, cancel);
  } catch (const std::exception& error) {
    log::error("listing tools threw", {{"server", server.label}, {"what", error.what()}});
    co_return fail(ErrorCode::kInternal, "Listing the tools failed in a way it should not have.");
  }
}

Task<tools::ToolResult> SessionActor::call_server(OpenEffect effect, async::CancelToken cancel) {
  const McpCall call = *effect.call.mcp;
  auto server = server_of(*state_.agent, call.server);
  tools::ServerTools* servers = core_.parts.server_tools;
  if (!server || !servers)
    co_return tools::ToolResult{.output = "There is no MCP server '" + call.server + "' any more."};
  // What was meant for one server is not another's business.
  if (!call.url.empty() && call.url != server->url)
    co_return tools::ToolResult{.output = "The MCP server '" + call.server +
                                          "' is another one by now: the call was not made."};
  if (cancel.cancelled() || stop_in_force())
    co_return tools::ToolResult{.output = "The call was not made: the turn has ended."};
  tools::ToolResult result;
  try {
    result = co_await servers->call({server->label, server->url}, call.tool,
                                    {key_, effect.call.call_id, effect.call.arguments, effect.key},
                                    cancel);
  } catch (const std::exception& error) {
    log::error("calling a server's tool threw", {{"server", call.server}, {"what", error.what()}});
    result = {.output = "The tool failed in a way it should not have.", .unknown = true};
  }
  // What may be called again needs no doubt: the model reads that it failed.
  auto repeat_class = tools::parse_repeat_class(effect.repeat_class);
  if (repeat_class && tools::may_repeat(*repeat_class)) result.unknown = false;
  result.output = told(result);
  co_return result;
}

}  // namespace perdure::engine
