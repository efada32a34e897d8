// The messages of the Model Context Protocol that we send and read, as text and values.
//
// Pure functions. Two eras are spoken: *modern* (revision 2026-07-28: no handshake, every request
// says who asks and in which version) and *legacy* (2025-11-25 and older: `initialize` first). What
// a server sends is not trusted: it passes the strict reader, is bounded, and anything that is not
// what the protocol says is an error with a sentence.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "tools/server_tools.h"

namespace perdure::tools::mcp {

inline constexpr std::string_view kModernVersion = "2026-07-28";
/// What we ask a legacy server for; it may answer with an older one.
inline constexpr std::string_view kLegacyVersion = "2025-11-25";

/// JSON-RPC errors that only a modern server sends.
inline constexpr std::int64_t kHeaderMismatch = -32020;
inline constexpr std::int64_t kMissingCapability = -32021;
inline constexpr std::int64_t kUnsupportedVersion = -32022;
inline constexpr std::int64_t kMethodNotFound = -32601;

/// A request's text. `params` are the members of `params` as JSON text without braces, may be
/// empty; `meta` likewise those of its `_meta`.
std::string request_text(std::int64_t id, std::string_view method, std::string_view params,
                         std::string_view meta);
std::string notification_text(std::string_view method);
/// The members of `_meta` that a modern request must have.
std::string modern_meta();
/// The parameters of `initialize`.
std::string initialize_params();
/// Whether a legacy server's answer to `initialize` names a version that we speak.
bool speaks_legacy(std::string_view version);

struct RpcError {
  std::int64_t code = 0;
  std::string message;  ///< the server's, bounded
};

/// What came back for a request: a result's text, or an error.
struct RpcAnswer {
  std::string result;  ///< raw JSON text of an object; empty where there is an error
  std::optional<RpcError> error;
};

/// One message of a server. nullopt: no answer to request `id` (a notification, or a request of the
/// server); `list_changed` is set where it says that its tools have changed. kUpstream: not a
/// message.
Result<std::optional<RpcAnswer>> read_message(std::string_view text, std::int64_t id,
                                              bool* list_changed);

struct ToolPage {
  std::vector<ServerTool> tools;
  std::vector<std::string> left_out;  ///< sentences about tools that cannot be offered
  std::string next_cursor;            ///< JSON text of it; empty at the end
};
/// The result of `tools/list`. `modern`: tools that want parameters mirrored in header fields are
/// left out, because this client does not mirror them.
Result<ToolPage> read_tool_page(std::string_view result, bool modern);

/// The result of `tools/call`, as the model reads it.
ToolResult read_call_result(std::string_view result);

/// A value as a header field carries it: as it is, or in the protocol's Base64 form.
std::string header_value(std::string_view value);

/// Begins of what servers write into our sentences: valid UTF-8, one line, bounded.
std::string excerpt(std::string_view text);

}  // namespace perdure::tools::mcp
