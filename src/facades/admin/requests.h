// How the server's own API reads requests: query parameters, pages and bodies. Pure functions; what
// is wrong is kInvalidArgument with the name of the parameter or member.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "facades/admin/limits.h"
#include "facades/common/json_reader.h"
#include "http/message.h"
#include "identity/caller.h"

namespace perdure::facades::admin {

/// nullopt where it is missing; given twice is an error.
Result<std::optional<std::string>> read_parameter(const http::Query& query, std::string_view key);

/// kInvalidArgument about `param`.
std::unexpected<Error> wrong(std::string message, std::string param);

/// Refuses every parameter but these and "project".
Result<void> allow_parameters(const http::Query& query,
                              std::initializer_list<std::string_view> known);

/// Which session a route /api/sessions/{session_id}/… is about (http::Route::about): in the project
/// of ?project=, else in the caller's own.
std::function<std::string(const http::Request&)> about_session(
    std::function<identity::Caller(const http::Request&)> caller_of);

struct PageQuery {
  std::optional<std::string> after;
  std::size_t limit = kDefaultPage;
};
Result<PageQuery> read_page(const http::Query& query);

/// The string member `key` of the request's body, or `fallback` where it is missing or null.
Result<std::string> string_member(const JsonObject& body, std::string_view key,
                                  std::string fallback);

/// An empty body is an empty object.
Result<JsonObject> read_body(const http::Request& request);

}  // namespace perdure::facades::admin
