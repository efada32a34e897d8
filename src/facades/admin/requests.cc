#include "facades/admin/requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace perdure::facades::admin {

Result<std::optional<std::string>> read_parameter(const http::Query& query, std::string_view key) {
  std::optional<std::string> found;
  for (const auto& [name, value] : query) {
    if (name != key) continue;
    if (found)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The query parameter '{}' was given more than once.", key),
                  std::string(key));
    found = value;
  }
  return found;
}

std::unexpected<Error> wrong(std::string message, std::string param) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(param));
}

Result<void> allow_parameters(const http::Query& query,
                              std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : query)
    if (std::ranges::find(known, name) == known.end() && name != "project")
      return wrong(fmt::format("Unknown query parameter: '{}'.", name), name);
  return {};
}

std::function<std::string(const http::Request&)> about_session(
    std::function<identity::Caller(const http::Request&)> caller_of) {
  return [caller_of = std::move(caller_of)](const http::Request& request) {
    const auto project = read_parameter(request.query, "project");
    return (project && *project ? **project : caller_of(request).project.value) + '\n' +
           request.parameters.at(0);
  };
}

Result<PageQuery> read_page(const http::Query& query) {
  PageQuery page;
  TRY(after, read_parameter(query, "after"));
  page.after = std::move(after);
  TRY(limit, read_parameter(query, "limit"));
  if (!limit) return page;
  const char* end = limit->data() + limit->size();
  const auto [read, error] = std::from_chars(limit->data(), end, page.limit);
  if (error != std::errc() || read != end || page.limit < 1 || page.limit > kMaxPage)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("limit must be a whole number between 1 and {}.", kMaxPage), "limit");
  return page;
}

Result<std::string> string_member(const JsonObject& body, std::string_view key,
                                  std::string fallback) {
  const auto field = body.find_value(key);
  if (!field) return fallback;
  return read_string(*field);
}

Result<JsonObject> read_body(const http::Request& request) {
  const std::string_view text = request.body.empty() ? std::string_view("{}") : request.body;
  TRY_VOID(check_strict_json(text));
  return JsonObject::read({.raw = text, .path = {}});
}

}  // namespace perdure::facades::admin
