// Members that a creation and an update of a session share. Pure functions over a request's body.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "facades/common/json_reader.h"
#include "models/price.h"
#include "models/provider.h"

namespace perdure::facades::agents_api {

/// `spend_control`, in nano-dollars; nullopt: unlimited.
Result<std::optional<models::Money>> read_spend_limit(const JsonObject& body);

/// `review`: only the value that asks for nothing passes.
Result<void> check_review(const JsonObject& body);

/// `prompt_cache_options.ttl`; nullopt: the model's default.
Result<std::optional<std::string>> read_cache_ttl(const JsonObject& body);
/// kInvalidArgument where no provider of the model can be asked to cache prompts so long.
Result<void> check_cache_ttl(const std::optional<std::string>& ttl, std::string_view model,
                             const models::Capabilities& capabilities);

}  // namespace perdure::facades::agents_api
