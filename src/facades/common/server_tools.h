// Which of this server's own tools a session is to have: the header X-Perdure-Tools on its
// creation, the same at every door.
//
// The wires of others have no member for them; a header is what every SDK can send. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "http/message.h"

namespace perdure::facades {

inline constexpr std::string_view kToolsHeader = "X-Perdure-Tools";

/// The names, separated by commas, in order; empty where the request has none. kInvalidArgument,
/// with the header's name as `param`, for a header given twice, an empty name, or one said twice.
/// Whether there is such a tool is the engine's to say.
Result<std::vector<std::string>> server_tools_of(const http::Request& request);

}  // namespace perdure::facades
