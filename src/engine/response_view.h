// Responses: stretches of a session's work that one request asked for and one answer holds.
//
// A response begins with its request, which brings everything that holds for it alone (the agent as
// it is to be, CallSettings), and is over when nothing is left to do before somebody asks for more:
// the turn has ended, or only waits for results of the client's functions. So a turn is one
// response, or several of them between which the client ran its functions. A response is named by
// the entry of its request (journal::kResponseBegun).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ids.h"
#include "engine/session_view.h"
#include "models/provider.h"

namespace perdure::engine {

/// What a request may say of the model calls that answer it, beside its agent.
struct CallSettings {
  models::Sampling sampling;
  std::string tool_choice;  ///< as in models::ModelRequest
  bool parallel_tool_calls = true;
  std::int64_t max_output_tokens = 0;  ///< of each model call; 0: the model's own limit
  std::string cache_key;               ///< of prompt caches; empty: the session
  bool operator==(const CallSettings&) const = default;
};

struct ResponseView {
  SessionId session;
  std::uint64_t seq = 0;  ///< the entry that names it
  UnixMillis created = 0;
  std::string request;  ///< what its door kept of the request (kResponseBegun only)
  // Of kResponseEnded.
  UnixMillis completed = 0;
  TurnStatus status = TurnStatus::kInProgress;  ///< … kCompleted also where results are awaited
  std::optional<FailureInfo> error;
  std::optional<models::TokenUsage> usage;  ///< nullopt where a provider did not tell
};

}  // namespace perdure::engine
