// Talks to one MCP server over streamable HTTP, for one session: its tools, listed and called.
//
// Made by McpServers, used on its loop, and outlives its calls. What the server
// speaks is found out once, with a question that changes nothing: a modern server answers it, every
// other is asked to `initialize`; a call is only ever sent to a server whose language is known. A
// server that has forgotten our session is met anew, once, because it has refused the call. Nothing
// else is sent twice, and redirects are not followed. Errors are kUpstream or kDeadlineExceeded
// with a sentence that names the server by its label and never holds the URL or a credential;
// `reason` kNotCarriedOut means that the server has not done what was asked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/cancel.h"
#include "async/fifo_semaphore.h"
#include "http/client.h"
#include "tools/mcp_message.h"
#include "tools/server_tools.h"

namespace perdure::tools {

struct McpTarget {
  std::string label;          ///< for sentences
  std::string url;            ///< http or https, checked
  std::string authorization;  ///< the whole field's value; empty: none
  http::Headers headers;      ///< sent with every request
};

class McpClient {
 public:
  static constexpr std::string_view kNotCarriedOut = "not_carried_out";

  McpClient(async::Executor executor, http::Client& http, McpTarget target);

  /// All pages.
  Task<Result<std::vector<ServerTool>>> list_tools(async::CancelToken cancel);
  Task<ToolResult> call_tool(std::string tool, ToolCall call, async::CancelToken cancel);

 private:
  enum class Era { kUnknown, kModern, kLegacy };

  struct Question {
    std::string method;
    std::string params;    ///< see mcp::request_text
    std::string meta;      ///< likewise
    std::string name;      ///< for Mcp-Name; empty: none
    std::int64_t most_ms;  ///< from the first byte to the answer
  };
  struct Reply {
    int status = 0;
    /// None where the server answered without a message, which a status below 300 never does.
    std::optional<mcp::RpcAnswer> answer;
    std::string session_id;  ///< that the server hands out
    bool list_changed = false;
  };

  /// Asks in the language of the server, which it finds out first. A reply may be a refusal.
  Task<Result<Reply>> ask(Question question, async::CancelToken cancel);
  Task<Result<void>> meet(async::CancelToken cancel);
  Task<Result<void>> initialize(async::CancelToken cancel);
  Task<Result<Reply>> exchange(Question question, Era era, async::CancelToken cancel);
  Task<Result<Reply>> converse(http::ClientRequest request, std::int64_t id);
  Task<Result<Reply>> read_stream(http::ClientResponse* response, std::int64_t id);
  Task<Result<Reply>> read_whole(http::ClientResponse* response, std::int64_t id);

  http::ClientRequest request(const Question& question, Era era, std::string body) const;
  std::unexpected<Error> failed(ErrorCode code, std::string_view what,
                                std::string_view reason = {}) const;
  /// The error of a reply that is no result.
  Error refusal(const Reply& reply) const;
  std::string scrubbed(std::string text) const;

  http::Client& http_;
  McpTarget target_;
  async::FifoSemaphore meeting_;  ///< held by who finds out what the server speaks
  Era era_ = Era::kUnknown;
  bool met_ = false;
  std::string version_;     ///< agreed with a legacy server
  std::string session_id_;  ///< handed out by a legacy server, may be empty
  std::int64_t next_id_ = 0;
};

}  // namespace perdure::tools
