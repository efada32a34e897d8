#include "facades/admin/search_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "base/log.h"
#include "facades/admin/errors.h"
#include "facades/admin/limits.h"
#include "facades/admin/requests.h"
#include "facades/common/json_writer.h"
#include "facades/common/viewer.h"

namespace perdure::facades::admin {
namespace {

using journal::SearchKind;

constexpr std::array<std::string_view, 6> kParameters = {"q",     "agent", "workstream",
                                                         "limit", "after", "project"};

std::string_view kind_of(SearchKind kind) {
  if (kind == SearchKind::kToolCall) return "tool_call";
  return kind == SearchKind::kToolResult ? "tool_result" : "message";
}

std::string_view role_of(SearchKind kind) {
  if (kind == SearchKind::kToolResult) return "tool";
  return kind == SearchKind::kUser ? "user" : "assistant";
}

void append_hit(std::string& out, const engine::SearchHit& hit) {
  ObjectWriter(out)
      .text("session", hit.session)
      .text("turn", hit.turn)
      .text("item", hit.item)
      .text("kind", kind_of(hit.kind))
      .text("role", role_of(hit.kind))
      .text("agent", hit.agent)
      .text_or_null("workstream", hit.workstream)
      .text("snippet", hit.snippet)
      .raw("score", fmt::format("{:.3f}", hit.score))
      .number("created_at", hit.time / 1000)
      .end();
}

/// nullopt where it is missing; an empty value is a mistake.
Result<std::optional<std::string>> read_name(const http::Query& query, std::string_view key) {
  TRY(value, read_parameter(query, key));
  if (value && value->empty())
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} must not be empty.", key),
                std::string(key));
  return value;
}

Result<engine::SearchQuestion> read_question(const http::Query& query) {
  for (const auto& [name, value] : query)
    if (std::ranges::find(kParameters, name) == kParameters.end())
      return fail(ErrorCode::kInvalidArgument, fmt::format("Unknown query parameter: '{}'.", name),
                  name);
  engine::SearchQuestion question;
  TRY(words, read_parameter(query, "q"));
  if (!words) return fail(ErrorCode::kInvalidArgument, "q is missing: the words to look for.", "q");
  question.words = std::move(*words);
  TRY(agent, read_name(query, "agent"));
  TRY(workstream, read_name(query, "workstream"));
  if (workstream && !is_workstream_id(*workstream))
    return fail(ErrorCode::kInvalidArgument,
                "workstream must have 1 to 64 characters of [A-Za-z0-9_-].", "workstream");
  TRY(page, read_page(query));
  TRY(limit, read_parameter(query, "limit"));
  question.agent = std::move(agent);
  question.workstream = std::move(workstream);
  question.after = std::move(page.after);
  question.limit = limit ? std::min(page.limit, kMaxHits) : kDefaultHits;
  return question;
}

}  // namespace

void SearchApi::add_routes(http::Router& router) {
  router.add({.method = "GET",
              .path = "/api/search",
              .summary = "What was said and done in a project's sessions, found by its words",
              .tag = "search",
              .query = {{"q", "The words to look for", true},
                        {"agent", "Only sessions of this agent"},
                        {"workstream", "Only sessions of this workstream"},
                        {"limit", "Results on a page, at most 100 [20]"},
                        {"after", "The item of the last result of the page before"},
                        {"project", "Another project's sessions; for the operator"}},
              .max_body = kMaxBody,
              .handler = std::bind_front(&SearchApi::serve, this)});
}

async::Task<http::Response> SearchApi::serve(http::Request request) {
  const std::string request_id = request.request_id;
  Answer answer = co_await search(std::move(request));
  if (answer) co_return std::move(*answer);
  if (answer.error().code == ErrorCode::kInternal)
    log::error("a request failed", {{"request", request_id}, {"error", answer.error().message}});
  co_return error_response(answer.error());
}

async::Task<SearchApi::Answer> SearchApi::search(http::Request request) {
  const identity::Caller caller = caller_of_(request);
  CO_TRY(question, read_question(request.query));
  question.project = caller.project;
  question.viewer = viewer_of(caller);
  CO_TRY(named, read_parameter(request.query, "project"));
  if (named && *named != caller.project.value) {
    bool there = false;
    if (caller.operator_access) {
      CO_TRY(exists, co_await keys_.project_exists(*named));
      there = exists;
    }
    if (!there) co_return fail(ErrorCode::kNotFound, "There is no such project.", "project");
    question.project = ProjectId{*named};
  }
  CO_TRY(hits, co_await index_.search(std::move(question)));
  std::string body;
  ObjectWriter writer(body);
  append_array(writer.begin("data"), hits.data, append_hit);
  writer.boolean("has_more", hits.has_more);
  if (hits.has_more && !hits.data.empty())
    writer.text("next", hits.data.back().item);
  else
    writer.null("next");
  writer.boolean("complete", hits.complete).end();
  co_return http::json_response(200, std::move(body));
}

}  // namespace perdure::facades::admin
