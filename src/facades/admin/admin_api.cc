#include "facades/admin/admin_api.h"

#include <fmt/format.h>

#include <functional>
#include <optional>
#include <utility>

#include "base/log.h"
#include "facades/admin/errors.h"
#include "facades/admin/limits.h"
#include "facades/admin/openapi.h"
#include "facades/admin/requests.h"
#include "facades/common/json_reader.h"
#include "facades/common/json_writer.h"

namespace perdure::facades::admin {
namespace {

std::int64_t seconds(UnixMillis time) {
  return time / 1000;
}

void append_key(std::string& out, const identity::KeyInfo& key,
                const identity::CreatedKey* created = nullptr) {
  ObjectWriter writer(out);
  writer.text("id", key.id)
      .text("project", key.project)
      .text("name", key.name)
      .text("last4", key.last4)
      .number("created_at", seconds(key.created));
  if (key.revoked)
    writer.number("revoked_at", seconds(*key.revoked));
  else
    writer.null("revoked_at");
  if (created)
    writer.text("key", created->key).boolean("project_created", created->project_created);
  writer.end();
}

void append_project(std::string& out, const identity::ProjectInfo& project) {
  ObjectWriter(out).text("name", project.name).number("created_at", seconds(project.created)).end();
}

template <class T, class Append>
http::Response list_response(const identity::ListOf<T>& list, Append append) {
  std::string body;
  ObjectWriter writer(body);
  append_array(writer.begin("data"), list.data, append);
  writer.boolean("has_more", list.has_more);
  writer.end();
  return http::json_response(200, std::move(body));
}

}  // namespace

void AdminApi::add_routes(http::Router& router) {
  enum class For { kProbes, kAnybody, kCallers };
  const auto get = [&](std::string path, std::string summary, auto handler, For whom) {
    router.add({.method = "GET",
                .path = std::move(path),
                .summary = std::move(summary),
                .tag = "server",
                .open = whom != For::kCallers,
                .any_host = whom == For::kProbes,
                .max_body = kMaxBody,
                .handler = std::bind_front(handler, this)});
  };
  get("/healthz", "Whether the process runs", &AdminApi::healthz, For::kProbes);
  get("/readyz", "Whether the server takes work, and why not", &AdminApi::readyz, For::kProbes);
  get("/openapi.json", "This document", &AdminApi::openapi, For::kAnybody);
  get("/metrics", "Numbers for Prometheus", &AdminApi::metrics, For::kCallers);

  const auto api = [&](std::string method, std::string path, std::string summary,
                       Operation operation) {
    router.add({.method = std::move(method),
                .path = std::move(path),
                .summary = std::move(summary),
                .tag = "operator",
                .max_body = kMaxBody,
                .handler = std::bind_front(&AdminApi::serve, this, operation)});
  };
  api("POST", "/api/keys", "Create an API key; it is shown once", &AdminApi::create_key);
  api("GET", "/api/keys", "List API keys without their secrets", &AdminApi::list_keys);
  api("DELETE", "/api/keys/{key_id}", "Revoke an API key", &AdminApi::revoke_key);
  api("GET", "/api/models", "The models, and how the pools that answer for them are",
      &AdminApi::show_capacity);
  api("POST", "/api/projects", "Create a project", &AdminApi::create_project);
  api("GET", "/api/projects", "List projects", &AdminApi::list_projects);
}

Task<http::Response> AdminApi::serve(Operation operation, http::Request request) {
  const std::string request_id = request.request_id;
  if (!parts_.caller_of(request).operator_access)
    co_return error_response(
        Error{ErrorCode::kPermissionDenied,
              "Only the operator may do this: use the token of this server's runtime file, or the "
              "perdure command on its machine."});
  Answer answer = co_await (this->*operation)(std::move(request));
  if (answer) co_return std::move(*answer);
  if (answer.error().code == ErrorCode::kInternal)
    log::error("a request failed", {{"request", request_id}, {"error", answer.error().message}});
  co_return error_response(answer.error());
}

Task<http::Response> AdminApi::healthz(http::Request) {
  co_return http::json_response(200, R"({"status":"ok"})");
}

Task<http::Response> AdminApi::readyz(http::Request) {
  const auto obstacles = co_await parts_.status.obstacles();
  std::string body;
  ObjectWriter writer(body);
  writer.text("status", obstacles.empty() ? "ready" : "not_ready");
  append_array(writer.begin("reasons"), obstacles, [](std::string& out, const auto& obstacle) {
    ObjectWriter(out).text("reason", obstacle.reason).text("message", obstacle.message).end();
  });
  writer.end();
  http::Response response = http::json_response(obstacles.empty() ? 200 : 503, std::move(body));
  if (!obstacles.empty()) response.headers.set("Retry-After", "1");
  co_return response;
}

Task<http::Response> AdminApi::metrics(http::Request) {
  Numbers numbers = parts_.status.numbers();
  numbers.ready = (co_await parts_.status.obstacles()).empty();
  http::Response response;
  response.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  response.body = metrics_text(numbers);
  co_return response;
}

Task<http::Response> AdminApi::openapi(http::Request) {
  co_return http::json_response(200, openapi_document(*described_, parts_.version));
}

Task<AdminApi::Answer> AdminApi::show_capacity(http::Request) {
  co_return http::json_response(200, capacity_text(parts_.status.capacity()));
}

Task<AdminApi::Answer> AdminApi::create_key(http::Request request) {
  CO_TRY(body, read_body(request));
  CO_TRY_VOID(body.allow({"project", "name"}));
  CO_TRY(project, string_member(body, "project", std::string(identity::kDefaultProject)));
  CO_TRY(name, string_member(body, "name", ""));
  CO_TRY(created, co_await parts_.keys.create(std::move(project), std::move(name)));
  log::info("an API key was created",
            {{"key", created.info.id}, {"project", created.info.project}});
  std::string text;
  append_key(text, created.info, &created);
  http::Response response = http::json_response(201, std::move(text));
  response.headers.set("Cache-Control", "no-store");
  co_return response;
}

Task<AdminApi::Answer> AdminApi::list_keys(http::Request request) {
  CO_TRY(project, read_parameter(request.query, "project"));
  CO_TRY(page, read_page(request.query));
  CO_TRY(keys, co_await parts_.keys.list(std::move(project), std::move(page.after), page.limit));
  co_return list_response(keys, [](std::string& out, const auto& key) { append_key(out, key); });
}

Task<AdminApi::Answer> AdminApi::revoke_key(http::Request request) {
  CO_TRY(revoked, co_await parts_.keys.revoke(request.parameters.at(0)));
  log::info("an API key was revoked", {{"key", revoked.id}, {"project", revoked.project}});
  std::string text;
  append_key(text, revoked);
  co_return http::json_response(200, std::move(text));
}

Task<AdminApi::Answer> AdminApi::create_project(http::Request request) {
  CO_TRY(body, read_body(request));
  CO_TRY_VOID(body.allow({"name"}));
  CO_TRY(field, body.require("name"));
  CO_TRY(name, read_string(field));
  CO_TRY(project, co_await parts_.keys.create_project(std::move(name)));
  std::string text;
  append_project(text, project);
  co_return http::json_response(201, std::move(text));
}

Task<AdminApi::Answer> AdminApi::list_projects(http::Request request) {
  CO_TRY(page, read_page(request.query));
  CO_TRY(projects, co_await parts_.keys.projects(std::move(page.after), page.limit));
  co_return list_response(projects, append_project);
}

}  // namespace perdure::facades::admin
