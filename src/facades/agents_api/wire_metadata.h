// The `metadata` member, the same on sessions and saved agents. Pure functions.
#pragma once

#include <map>
#include <string>

#include "base/error.h"
#include "facades/common/json_reader.h"

namespace perdure::facades::agents_api {

/// SessionCreateParams.metadata and AgentCreateParams.metadata; empty where it is null or missing.
Result<std::map<std::string, std::string>> read_metadata(const JsonObject& body);

/// kInvalidArgument for a value of more than `most` elements or characters; `kind` is "string" or
/// "array".
std::unexpected<Error> too_long(std::string path, std::string_view kind, std::size_t most,
                                std::size_t length);

}  // namespace perdure::facades::agents_api
