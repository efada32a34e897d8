// The MCP servers that sessions may use: which ones, with which credential, and our talks with
// them.
//
// Owned by the composition root and used on the loop; outlives the engine. A session's agent names
// a server by its URL. Whether it may be asked is decided here, before anything is journaled and
// again before every request: the operator's configuration may have changed in between. A
// credential belongs to one URL, which must be met exactly, and goes nowhere else. Sessions do not
// share a talk, because an older server keeps state in it.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/client.h"
#include "http/url.h"
#include "tools/mcp_client.h"
#include "tools/server_tools.h"

namespace perdure::tools {

/// A server that the operator has configured.
struct ConfiguredMcpServer {
  std::string label;          ///< the operator's name for it
  std::string url;            ///< checked
  std::string authorization;  ///< the whole field's value; empty: none
};

struct McpSettings {
  bool any_url = false;  ///< a developer's machine: whatever the session names
  /// Beginnings of allowed URLs: the same scheme and authority, and the path or one below it.
  std::vector<std::string> allow;
  std::vector<ConfiguredMcpServer> servers;
  /// Whether a URL is this very server.
  std::function<bool(const http::Url&)> is_own;
  http::Headers headers;  ///< sent with every request
};

class McpServers final : public ServerTools {
 public:
  McpServers(async::Executor executor, http::Client& http, McpSettings settings);

  Result<void> admit(std::string_view url) const override;
  Task<Result<std::vector<ServerTool>>> list(SessionKey session, ToolServer server,
                                             async::CancelToken cancel) override;
  Task<ToolResult> call(ToolServer server, std::string tool, ToolCall call,
                        async::CancelToken cancel) override;

 private:
  using Key = std::pair<std::string, std::string>;  ///< session, URL
  struct Talk {
    Key key;
    std::shared_ptr<McpClient> client;
  };

  std::shared_ptr<McpClient> client_for(const SessionKey& session, const ToolServer& server);

  async::Executor executor_;
  http::Client& http_;
  McpSettings settings_;
  std::list<Talk> talks_;  ///< the last used one first
  std::map<Key, std::list<Talk>::iterator> by_key_;
};

/// Whether `url` is `allowed` or lies below it. Both have passed parse_url.
bool is_below(const http::Url& url, const http::Url& allowed);

}  // namespace perdure::tools
