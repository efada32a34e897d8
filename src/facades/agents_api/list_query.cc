#include "facades/agents_api/list_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "facades/agents_api/limits.h"
#include "facades/common/json_reader.h"

namespace perdure::facades::agents_api {
namespace {

std::unexpected<Error> given_twice(std::string_view key) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("The query parameter '{}' was given more than once.", key),
              std::string(key));
}

Result<std::size_t> read_limit(std::string_view text, LimitRule rule) {
  std::int64_t limit = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), limit);
  bool whole = end == text.data() + text.size() && !text.empty();
  if (whole && ec == std::errc::result_out_of_range)
    limit = text.front() == '-' ? 0 : 1000;
  else if (!whole || ec != std::errc())
    return fail(ErrorCode::kInvalidArgument,
                "Invalid type for 'limit': expected an integer, but got a string instead.",
                "limit");
  constexpr auto kMost = static_cast<std::int64_t>(kMaxPage);
  if (rule == LimitRule::kRefuse && (limit < 1 || limit > kMost))
    return fail(ErrorCode::kInvalidArgument, "limit must be between 1 and 100", "limit");
  return static_cast<std::size_t>(std::clamp<std::int64_t>(limit, 1, kMost));
}

}  // namespace

Result<std::optional<std::string>> read_parameter(const http::Query& query, std::string_view key) {
  std::optional<std::string> out;
  for (const auto& [name, value] : query) {
    if (name != key) continue;
    if (out) return given_twice(key);
    out = value;
  }
  return out;
}

Result<bool> read_flag(const http::Query& query, std::string_view key, bool fallback) {
  TRY(value, read_parameter(query, key));
  if (!value) return fallback;
  if (*value != "true" && *value != "false")
    return not_a_choice(std::string(key), *value, {"true", "false"});
  return *value == "true";
}

Result<engine::Page> read_page(const http::Query& query, LimitRule rule) {
  engine::Page page;
  page.limit = kDefaultPage;
  TRY(after, read_parameter(query, "after"));
  page.after = std::move(after);
  TRY(limit, read_parameter(query, "limit"));
  if (limit) {
    TRY(value, read_limit(*limit, rule));
    page.limit = value;
  }
  TRY(order, read_parameter(query, "order"));
  if (order && *order != "asc" && *order != "desc")
    return not_a_choice("order", *order, {"asc", "desc"});
  page.ascending = order == "asc";
  return page;
}

Result<std::map<std::string, std::string>> read_metadata_filter(const http::Query& query) {
  constexpr std::string_view kPrefix = "metadata[";
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : query) {
    if (!name.starts_with(kPrefix) || !name.ends_with(']')) continue;
    std::string key = name.substr(kPrefix.size(), name.size() - kPrefix.size() - 1);
    std::size_t length = character_count(key);
    if (length < 1 || length > kMaxMetadataKey || character_count(value) > kMaxMetadataValue)
      return fail(ErrorCode::kInvalidArgument,
                  "A metadata filter has a key of 1 to 64 and a value of at most 512 characters.",
                  "metadata");
    if (!out.emplace(key, value).second) return given_twice(name);
  }
  if (out.size() > kMaxMetadataPairs)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("At most {} metadata pairs can be filtered by.", kMaxMetadataPairs),
                "metadata");
  return out;
}

}  // namespace perdure::facades::agents_api
