#include "tools/mcp_servers.h"

#include <algorithm>
#include <cctype>

#include "tools/limits.h"

namespace perdure::tools {
namespace {

bool same_origin(const http::Url& one, const http::Url& other) {
  return one.tls == other.tls && one.host == other.host && one.port == other.port;
}

std::string_view path_of(const http::Url& url) {
  return std::string_view(url.target).substr(0, url.target.find('?'));
}

/// Whether a path could lead elsewhere than it reads: "..", a backslash, or either one encoded.
bool climbs(std::string_view path) {
  std::string lower(path);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  lower += '/';
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{"/./", "/../", "\\", "%2e", "%2f", "%5c"},
      [&](std::string_view part) { return lower.find(part) != std::string::npos; });
}

}  // namespace

bool is_below(const http::Url& url, const http::Url& allowed) {
  std::string_view path = path_of(url), prefix = path_of(allowed);
  if (!same_origin(url, allowed) || climbs(path) || !path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || prefix.ends_with('/') || path[prefix.size()] == '/';
}

McpServers::McpServers(async::Executor executor, http::Client& http, McpSettings settings)
    : executor_(std::move(executor)), http_(http), settings_(std::move(settings)) {}

Result<void> McpServers::admit(std::string_view text) const {
  auto url = http::parse_url(text);
  if (!url) return std::unexpected(url.error());
  if (settings_.is_own && settings_.is_own(*url))
    return fail(ErrorCode::kInvalidArgument, "The URL is this server itself.");
  if (settings_.any_url) return {};
  auto is_url = [&](const std::string& other, auto matches) {
    auto parsed = http::parse_url(other);
    return parsed && matches(*url, *parsed);
  };
  bool configured = std::ranges::any_of(settings_.servers, [&](const ConfiguredMcpServer& server) {
    return is_url(server.url, [](const http::Url& one, const http::Url& other) {
      return same_origin(one, other) && one.target == other.target;
    });
  });
  bool allowed = configured || std::ranges::any_of(settings_.allow, [&](const std::string& prefix) {
                   return is_url(prefix, is_below);
                 });
  if (allowed) return {};
  return fail(ErrorCode::kInvalidArgument,
              "The operator of this server has not allowed this MCP server: see [tools] mcp_allow "
              "and [[mcp_server]].");
}

std::shared_ptr<McpClient> McpServers::client_for(const SessionKey& session,
                                                  const ToolServer& server) {
  // The label is in the key because it is in the sentences.
  Key key{session.project.value + '/' + session.session.value + '/' + server.label, server.url};
  if (auto found = by_key_.find(key); found != by_key_.end()) {
    talks_.splice(talks_.begin(), talks_, found->second);
    return found->second->client;
  }
  McpTarget target{.label = server.label, .url = server.url, .headers = settings_.headers};
  if (auto url = http::parse_url(server.url))
    for (const ConfiguredMcpServer& configured : settings_.servers) {
      auto other = http::parse_url(configured.url);
      if (other && same_origin(*url, *other) && url->target == other->target)
        target.authorization = configured.authorization;
    }
  if (talks_.size() >= kMaxServerSessions) {
    by_key_.erase(talks_.back().key);
    talks_.pop_back();  // a call that runs keeps its own
  }
  talks_.push_front({key, std::make_shared<McpClient>(executor_, http_, std::move(target))});
  by_key_[key] = talks_.begin();
  return talks_.front().client;
}

Task<Result<std::vector<ServerTool>>> McpServers::list(SessionKey session, ToolServer server,
                                                       async::CancelToken cancel) {
  CO_TRY_VOID(admit(server.url));
  std::shared_ptr<McpClient> client = client_for(session, server);
  co_return co_await client->list_tools(cancel);
}

Task<ToolResult> McpServers::call(ToolServer server, std::string tool, ToolCall call,
                                  async::CancelToken cancel) {
  if (auto admitted = admit(server.url); !admitted)
    co_return ToolResult{.output = admitted.error().message};
  std::shared_ptr<McpClient> client = client_for(call.session, server);
  co_return co_await client->call_tool(std::move(tool), std::move(call), cancel);
}

}  // namespace perdure::tools
