// Query parameters of the lists and of the event stream. Pure functions.
//
// A parameter that is given twice is refused, one we do not know is ignored, as upstream does.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/engine.h"
#include "http/message.h"

namespace perdure::facades::agents_api {

/// What happens to a `limit` outside 1 … 100: the lists differ, and clients may rely on it.
enum class LimitRule { kClamp, kRefuse };

/// `after`, `limit` and `order`.
Result<engine::Page> read_page(const http::Query& query, LimitRule rule);

/// One parameter's value, nullopt where it is missing.
Result<std::optional<std::string>> read_parameter(const http::Query& query, std::string_view key);

/// "true" or "false"; `fallback` where it is missing.
Result<bool> read_flag(const http::Query& query, std::string_view key, bool fallback);

/// The pairs of `metadata[key]=value`.
Result<std::map<std::string, std::string>> read_metadata_filter(const http::Query& query);

}  // namespace perdure::facades::agents_api
