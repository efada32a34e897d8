#include "facades/admin/stops_api.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"
#include "facades/admin/errors.h"
#include "facades/admin/requests.h"
#include "facades/common/json_writer.h"

namespace perdure::facades::admin {
namespace {

std::int64_t seconds(UnixMillis time) {
  return time / 1000;
}

void append_stop(std::string& out, const policy::Stop& stop,
                 const engine::Stopped* made = nullptr) {
  ObjectWriter writer(out);
  writer.text("id", stop.id)
      .text("project", stop.order.project.value)
      .text("scope", to_string(stop.order.scope))
      .text("target", stop.order.target)
      .text("reason", stop.order.reason)
      .number("created_at", seconds(stop.created))
      .text("created_by", stop.order.by);
  if (stop.lifted)
    writer.number("lifted_at", seconds(*stop.lifted)).text("lifted_by", stop.lifted_by);
  else
    writer.null("lifted_at").null("lifted_by");
  if (made) writer.number("calls_cancelled", static_cast<std::int64_t>(made->calls_cancelled));
  writer.end();
}

/// The project that a caller may name: its own, or any where it is the operator.
Result<ProjectId> project_for(const identity::Caller& caller, std::string named) {
  if (named == caller.project.value || caller.operator_access) return ProjectId{std::move(named)};
  return fail(ErrorCode::kPermissionDenied,
              "Only the operator may name another project than the caller's own.", "project");
}

}  // namespace

void StopsApi::add_routes(http::Router& router) {
  const auto add = [&](std::string method, std::string path, std::string summary,
                       Operation operation) {
    router.add({.method = std::move(method),
                .path = std::move(path),
                .summary = std::move(summary),
                .tag = "stops",
                .max_body = kMaxBody,
                .handler = std::bind_front(&StopsApi::serve, this, operation)});
  };
  add("POST", "/api/stops", "Stop a session, an agent, a workstream or a project", &StopsApi::stop);
  add("GET", "/api/stops", "List what is stopped", &StopsApi::list);
  add("DELETE", "/api/stops/{stop_id}", "Lift a stop", &StopsApi::lift);
}

async::Task<http::Response> StopsApi::serve(Operation operation, http::Request request) {
  const std::string request_id = request.request_id;
  Answer answer = co_await (this->*operation)(std::move(request));
  if (answer) co_return std::move(*answer);
  if (answer.error().code == ErrorCode::kInternal)
    log::error("a request failed", {{"request", request_id}, {"error", answer.error().message}});
  co_return error_response(answer.error());
}

async::Task<StopsApi::Answer> StopsApi::stop(http::Request request) {
  const identity::Caller caller = parts_.caller_of(request);
  CO_TRY(body, read_body(request));
  CO_TRY_VOID(body.allow({"scope", "id", "reason", "project"}));
  CO_TRY(scope_field, body.require("scope"));
  CO_TRY(word, read_choice(scope_field, {"session", "agent", "workstream", "project"}));
  CO_TRY(id_field, body.require("id"));
  CO_TRY(target, read_text(id_field));
  CO_TRY(reason_field, body.require("reason"));
  CO_TRY(reason, read_text(reason_field));
  const policy::StopScope scope = *policy::parse_stop_scope(word);
  const bool whole_project = scope == policy::StopScope::kProject;
  CO_TRY(named, string_member(body, "project", whole_project ? target : caller.project.value));
  if (whole_project && named != target)
    co_return fail(ErrorCode::kInvalidArgument, "project and id name different projects.",
                   "project");
  CO_TRY(project, project_for(caller, std::move(named)));
  // A stop that hits nothing because of a slip of the pen would be worse than none.
  CO_TRY(exists, co_await parts_.keys.project_exists(project.value));
  if (!exists)
    co_return fail(ErrorCode::kNotFound,
                   fmt::format("There is no project '{}'.", project.value.substr(0, 64)));
  auto stopped = co_await parts_.engine.stop({.project = std::move(project),
                                              .scope = scope,
                                              .target = target,
                                              .reason = std::move(reason),
                                              .by = caller.principal,
                                              .by_operator = caller.operator_access});
  if (!stopped && stopped.error().code == ErrorCode::kNotFound)
    co_return fail(ErrorCode::kNotFound,
                   fmt::format("There is no session '{}'.", target.substr(0, 64)));
  if (!stopped) co_return std::unexpected(std::move(stopped).error());
  log::warn("stopped", {{"stop", stopped->stop.id},
                        {"scope", word},
                        {"target", target},
                        {"by", caller.principal},
                        {"calls_cancelled", stopped->calls_cancelled}});
  std::string text;
  append_stop(text, stopped->stop, &*stopped);
  co_return http::json_response(201, std::move(text));
}

async::Task<StopsApi::Answer> StopsApi::list(http::Request request) {
  const identity::Caller caller = parts_.caller_of(request);
  CO_TRY(named, read_parameter(request.query, "project"));
  CO_TRY(with_lifted, read_parameter(request.query, "include_lifted"));
  if (with_lifted && *with_lifted != "true" && *with_lifted != "false")
    co_return fail(ErrorCode::kInvalidArgument, "include_lifted must be true or false.",
                   "include_lifted");
  CO_TRY(page, read_page(request.query));
  std::optional<ProjectId> project;
  if (named || !caller.operator_access) {
    CO_TRY(allowed, project_for(caller, named ? std::move(*named) : caller.project.value));
    project = std::move(allowed);
  }
  CO_TRY(stops, co_await parts_.stops.list(std::move(project), with_lifted == "true",
                                           std::move(page.after), page.limit));
  std::string text;
  ObjectWriter writer(text);
  append_array(writer.begin("data"), stops.data,
               [](std::string& out, const policy::Stop& stop) { append_stop(out, stop); });
  writer.boolean("has_more", stops.has_more);
  writer.end();
  co_return http::json_response(200, std::move(text));
}

async::Task<StopsApi::Answer> StopsApi::lift(http::Request request) {
  const identity::Caller caller = parts_.caller_of(request);
  std::optional<ProjectId> project;
  if (!caller.operator_access) project = caller.project;
  CO_TRY(stop, co_await parts_.stops.lift(std::move(project), request.parameters.at(0),
                                          caller.principal, caller.operator_access));
  log::warn("a stop was lifted", {{"stop", stop.id}, {"by", stop.lifted_by}});
  std::string text;
  append_stop(text, stop);
  co_return http::json_response(200, std::move(text));
}

}  // namespace perdure::facades::admin
