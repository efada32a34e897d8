// Tools of servers outside: the seam between the engine and a protocol such as MCP.
//
// A session's agent names the servers; the engine lists them, offers their tools to the model and
// calls them, each as a journaled effect. An implementation is owned by the composition root,
// called on the loop, and suspends while the network works. It keeps no promise about repeating:
// that is the engine's business, by the repeat class that came with the list. Nothing it says in an
// error holds a credential.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tools/tool.h"

namespace perdure::tools {

struct ToolServer {
  std::string label;  ///< the session's name for it
  std::string url;
};

struct ServerTool {
  std::string name;  ///< the server's name for it
  std::string description;
  std::string parameters;  ///< JSON Schema text of an object
  RepeatClass repeat_class = RepeatClass::kOpaque;
};

class ServerTools {
 public:
  virtual ~ServerTools() = default;
  /// Whether this server may be asked; else kInvalidArgument with a sentence about the URL.
  virtual Result<void> admit(std::string_view url) const = 0;
  /// The whole list, in the server's order, without what no model could be offered.
  virtual Task<Result<std::vector<ServerTool>>> list(SessionKey session, ToolServer server,
                                                     async::CancelToken cancel) = 0;
  /// Calls a tool once. The result says whether the call may have happened without our knowing.
  virtual Task<ToolResult> call(ToolServer server, std::string tool, ToolCall call,
                                async::CancelToken cancel) = 0;
};

}  // namespace perdure::tools
