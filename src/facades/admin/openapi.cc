#include "facades/admin/openapi.h"

#include <algorithm>
#include <cctype>

#include "base/json.h"

namespace perdure::facades::admin {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// "get_v1_agents_sessions_session_id": unique, because method and path are.
std::string operation_id(const http::Route& route) {
  std::string id = lower(route.method);
  for (const char c : route.path) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      id += c;
    else if (id.back() != '_')
      id += '_';
  }
  if (id.back() == '_') id.pop_back();
  return id;
}

json::array path_parameters(std::string_view path) {
  json::array parameters;
  for (std::size_t open = path.find('{'); open != std::string_view::npos;
       open = path.find('{', open + 1)) {
    const std::string_view name = path.substr(open + 1, path.find('}', open) - open - 1);
    parameters.push_back(json::object{{"name", name},
                                      {"in", "path"},
                                      {"required", true},
                                      {"schema", json::object{{"type", "string"}}}});
  }
  return parameters;
}

bool takes_body(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

json::object operation(const http::Route& route) {
  const auto answer = [](std::string_view words) { return json::object{{"description", words}}; };
  json::object result{{"operationId", operation_id(route)}, {"summary", route.summary}};
  if (!route.tag.empty()) result["tags"] = json::array{route.tag};
  json::array parameters = path_parameters(route.path);
  for (const http::QueryParameter& parameter : route.query)
    parameters.push_back(json::object{{"name", parameter.name},
                                      {"in", "query"},
                                      {"description", parameter.summary},
                                      {"required", parameter.required},
                                      {"schema", json::object{{"type", "string"}}}});
  if (!parameters.empty()) result["parameters"] = std::move(parameters);
  if (takes_body(route.method))
    result["requestBody"] = json::object{
        {"content", json::object{{"application/json",
                                  json::object{{"schema", json::object{{"type", "object"}}}}}}}};
  result["responses"] =
      json::object{{"2XX", answer("Done")}, {"default", answer("What went wrong, in a sentence")}};
  if (route.open) result["security"] = json::array{};
  return result;
}

}  // namespace

std::string openapi_document(const http::Router& router, std::string_view version) {
  json::object paths;
  for (const http::Route& route : router.routes()) {
    json::value& path = paths[route.path];
    if (!path.is_object()) path = json::object{};
    path.as_object()[lower(route.method)] = operation(route);
  }
  const json::object document{
      {"openapi", "3.1.0"},
      {"info", json::object{{"title", "Perdure"}, {"version", version}}},
      {"paths", std::move(paths)},
      {"components",
       json::object{{"securitySchemes",
                     json::object{{"key", json::object{{"type", "http"}, {"scheme", "bearer"}}}}}}},
      {"security", json::array{json::object{{"key", json::array{}}}}}};
  return serialize(document);
}

}  // namespace perdure::facades::admin
