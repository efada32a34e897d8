#include "facades/agents_api/wire_session_settings.h"

#include <fmt/format.h>

namespace perdure::facades::agents_api {

Result<std::optional<models::Money>> read_spend_limit(const JsonObject& body) {
  auto field = body.find_value("spend_control");
  if (!field) return std::nullopt;
  TRY(control, JsonObject::read(*field));
  TRY_VOID(control.allow({"limit"}));
  TRY(limit, control.require("limit"));
  if (limit.is_null()) return std::nullopt;
  TRY(cents, read_integer(limit, 1));
  models::Money money = 0;
  if (__builtin_mul_overflow(cents, models::kNanoPerCent, &money))
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("Invalid '{}': integer above maximum value.", limit.path), limit.path);
  return money;
}

Result<void> check_review(const JsonObject& body) {
  auto field = body.find("review");
  if (!field) return {};
  TRY(review, read_choice(*field, {"none", "auto_review"}));
  if (review != "none") return not_supported(field->path, "Automatic review");
  return {};
}

Result<std::optional<std::string>> read_cache_ttl(const JsonObject& body) {
  auto field = body.find_value("prompt_cache_options");
  if (!field) return std::nullopt;
  TRY(options, JsonObject::read(*field));
  TRY_VOID(options.allow({"ttl"}));
  auto ttl_field = options.find("ttl");
  if (!ttl_field) return std::nullopt;
  TRY(ttl, read_choice(*ttl_field, {"30m", "12h"}));
  return ttl;
}

Result<void> check_cache_ttl(const std::optional<std::string>& ttl, std::string_view model,
                             const models::Capabilities& capabilities) {
  constexpr std::string_view kPath = "prompt_cache_options.ttl";
  if (!ttl || models::cache_minutes_of(*ttl) <= capabilities.cache_minutes) return {};
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("Unsupported value: '{}' of '{}' is not supported by the provider of the "
                          "model '{}'.",
                          *ttl, kPath, model),
              std::string(kPath));
}

}  // namespace perdure::facades::agents_api
