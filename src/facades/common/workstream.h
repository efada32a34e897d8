// Which workstream a request is about: the header X-Perdure-Workstream, the same at every door.
//
// A workstream needs no making: the first session that names it makes it, inside the caller's
// project. Pure.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "http/message.h"

namespace perdure::facades {

inline constexpr std::string_view kWorkstreamHeader = "X-Perdure-Workstream";

/// nullopt where the request names none. kInvalidArgument, with the header's name as `param`, for
/// one that is no id (is_workstream_id) or was given twice.
Result<std::optional<std::string>> workstream_of(const http::Request& request);

}  // namespace perdure::facades
