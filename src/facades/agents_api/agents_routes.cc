#include "facades/agents_api/agents_routes.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "base/log.h"
#include "facades/agents_api/errors.h"
#include "facades/agents_api/limits.h"
#include "facades/agents_api/list_query.h"
#include "facades/agents_api/version.h"
#include "facades/agents_api/wire_in.h"
#include "facades/agents_api/wire_saved_agent.h"
#include "facades/common/json_reader.h"

namespace perdure::facades::agents_api {
namespace {

using resources::AgentDefinition;
using resources::SavedAgent;

constexpr std::string_view kCreateRoute = "POST /v1/agents";

/// What the path names is not there. Missing, malformed, deleted and foreign ids look the same.
Error nothing_at(const std::vector<std::string>& ids) {
  std::string message = fmt::format("No agent found with id '{}'.", ids.at(0));
  if (ids.size() > 1)
    message = fmt::format("No version '{}' found of an agent with id '{}'.", ids[1], ids[0]);
  return {ErrorCode::kNotFound, std::move(message)};
}

/// A version's number as a path or a cursor has it; nullopt for anything that is none.
std::optional<std::uint64_t> version_number(std::string_view text) {
  std::uint64_t number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || end != text.data() + text.size() || number == 0 || text.front() == '0')
    return std::nullopt;
  return number;
}

/// The version that an update demands to find, from If-Match: `3` or `"3"`; nullopt: any.
Result<std::optional<std::uint64_t>> demanded_version(const http::Request& request) {
  constexpr std::string_view kHeader = "If-Match";
  auto bad =
      fail(ErrorCode::kInvalidArgument,
           "If-Match must be one version of the agent, such as 3, or *.", std::string(kHeader));
  if (request.headers.count(kHeader) > 1) return bad;
  auto header = request.headers.get(kHeader);
  if (!header || *header == "*") return std::nullopt;
  std::string_view text = *header;
  if (text.size() > 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  auto number = version_number(text);
  if (!number) return bad;
  return number;
}

// The answers to what changed something take the proof that the change is durable.

Result<http::Response> written_answer(const journal::Committed&, int status,
                                      const SavedAgent& agent) {
  TRY(body, saved_agent_json(agent));
  return http::json_response(status, std::move(body));
}

http::Response deleted_answer(const journal::Committed&, std::string_view id) {
  return http::json_response(200, deleted_agent_json(id));
}

/// What a repeated request needs: which version of which agent the first one made.
resources::SavedAgents::KeepAnswer keeper(const Idempotency::Ticket& ticket, int status) {
  return [&ticket, status](const SavedAgent& agent) {
    return ticket.record(status, std::to_string(agent.version), SessionId{agent.id});
  };
}

}  // namespace

AgentRoutes::AgentRoutes(resources::SavedAgents& agents, Env& env, IdempotencyStore& store,
                         CallerOf caller_of)
    : agents_(agents), idempotency_(store, env), caller_of_(std::move(caller_of)) {}

void AgentRoutes::add_routes(http::Router& router) {
  struct Entry {
    std::string_view method;
    std::string_view path;
    std::string_view summary;
    Operation operation;
  };
  constexpr std::string_view kAgents = "/agents";
  constexpr std::string_view kAgent = "/agents/{agent_id}";
  constexpr std::string_view kVersions = "/agents/{agent_id}/versions";
  constexpr std::string_view kVersion = "/agents/{agent_id}/versions/{version}";
  const Entry entries[] = {
      {"POST", kAgents, "Save an agent", &AgentRoutes::create_agent},
      {"GET", kAgents, "List saved agents", &AgentRoutes::list_agents},
      {"GET", kAgent, "Read a saved agent", &AgentRoutes::get_agent},
      {"POST", kAgent, "Make a saved agent's next version", &AgentRoutes::update_agent},
      {"DELETE", kAgent, "Delete a saved agent", &AgentRoutes::delete_agent},
      {"GET", kVersions, "List a saved agent's versions", &AgentRoutes::list_versions},
      {"GET", kVersion, "Read a version of a saved agent", &AgentRoutes::get_version},
  };
  for (std::string_view prefix : {"/v1", "/openai/v1"}) {
    for (const Entry& entry : entries) {
      router.add({.method = std::string(entry.method),
                  .path = fmt::format("{}{}", prefix, entry.path),
                  .summary = std::string(entry.summary),
                  .tag = "agents_api",
                  .max_body = kMaxBody,
                  .handler = std::bind_front(&AgentRoutes::serve, this, entry.operation)});
    }
  }
}

Task<http::Response> AgentRoutes::serve(Operation operation, http::Request request) {
  std::string request_id = request.request_id;
  std::vector<std::string> ids = request.parameters;
  Answer answer = fail(ErrorCode::kInternal, {});
  if (auto version = read_version(request.headers); !version)
    answer = std::unexpected(version.error());
  else
    answer = co_await (this->*operation)(std::move(request));
  if (answer) co_return std::move(*answer);
  Error error = std::move(answer).error();
  if (error.code == ErrorCode::kInternal)
    log::error("a request failed", {{"request", request_id}, {"error", error.message}});
  bool about_path = error.code == ErrorCode::kNotFound && error.param.empty() && !ids.empty();
  co_return error_response(about_path ? nothing_at(ids) : error);
}

// ---- writing ----------------------------------------------------------------------------------

Task<AgentRoutes::Answer> AgentRoutes::create_agent(http::Request request) {
  identity::Caller caller = caller_of_(request);
  CO_TRY(body, check_body(request.body));
  CO_TRY(definition, read_new_agent(body));
  CO_TRY(key, idempotency_key(request));
  CO_TRY(ticket,
         co_await take_ticket(caller, key, std::string(kCreateRoute), canonical_json(body)));
  if (ticket.answered()) co_return co_await answer_again(caller.project, *ticket.answered());
  CO_TRY(created,
         co_await agents_.create(caller.project, std::move(definition), keeper(ticket, 201)));
  co_return written_answer(created.receipt, 201, created.agent);
}

Task<AgentRoutes::Answer> AgentRoutes::update_agent(http::Request request) {
  identity::Caller caller = caller_of_(request);
  const std::string id = request.parameters.at(0);
  CO_TRY_VOID(co_await agents_.find(caller.project, id));
  CO_TRY(body, check_body(request.body));
  CO_TRY(demanded, demanded_version(request));
  CO_TRY(key, idempotency_key(request));
  std::string canonical = canonical_json(body);
  if (demanded) canonical += fmt::format("\n{}", *demanded);  // another version, another request
  CO_TRY(ticket, co_await take_ticket(caller, key, fmt::format("{}/{}", kCreateRoute, id),
                                      std::move(canonical)));
  if (ticket.answered()) co_return co_await answer_again(caller.project, *ticket.answered());
  auto change = [body, demanded](const SavedAgent& newest) -> Result<AgentDefinition> {
    if (demanded && *demanded != newest.version)
      return fail(
          ErrorCode::kConflict,
          fmt::format("The agent is at version {}, not at version {}.", newest.version, *demanded),
          "If-Match");
    return read_changed_agent(body, newest.definition);
  };
  CO_TRY(updated, co_await agents_.update(caller.project, id, change, keeper(ticket, 200)));
  co_return written_answer(updated.receipt, 200, updated.agent);
}

Task<AgentRoutes::Answer> AgentRoutes::delete_agent(http::Request request) {
  identity::Caller caller = caller_of_(request);
  std::string id = request.parameters.at(0);
  CO_TRY(receipt, co_await agents_.remove(std::move(caller.project), id));
  co_return deleted_answer(receipt, id);
}

// ---- reading ----------------------------------------------------------------------------------

Task<AgentRoutes::Answer> AgentRoutes::get_agent(http::Request request) {
  CO_TRY(agent, co_await agents_.find(caller_of_(request).project, request.parameters.at(0)));
  CO_TRY(body, saved_agent_json(agent));
  co_return http::json_response(200, std::move(body));
}

Task<AgentRoutes::Answer> AgentRoutes::list_agents(http::Request request) {
  CO_TRY(page, read_page(request.query, LimitRule::kClamp));
  auto agents =
      co_await agents_.list(caller_of_(request).project, {page.after, page.limit, page.ascending});
  if (!agents && page.after && agents.error().code == ErrorCode::kNotFound)
    co_return fail(ErrorCode::kNotFound, fmt::format("No agent found with id '{}'.", *page.after),
                   "after");
  if (!agents) co_return std::unexpected(std::move(agents).error());
  CO_TRY(body, saved_agent_list_json(*agents, false));
  co_return http::json_response(200, std::move(body));
}

Task<AgentRoutes::Answer> AgentRoutes::get_version(http::Request request) {
  auto version = version_number(request.parameters.at(1));
  if (!version) co_return fail(ErrorCode::kNotFound, {});
  CO_TRY(agent,
         co_await agents_.find(caller_of_(request).project, request.parameters.at(0), version));
  CO_TRY(body, saved_agent_json(agent));
  co_return http::json_response(200, std::move(body));
}

Task<AgentRoutes::Answer> AgentRoutes::list_versions(http::Request request) {
  ProjectId project = caller_of_(request).project;
  const std::string id = request.parameters.at(0);
  CO_TRY_VOID(co_await agents_.find(project, id));
  CO_TRY(page, read_page(request.query, LimitRule::kClamp));
  resources::VersionPage versions{.after = {}, .limit = page.limit, .ascending = page.ascending};
  if (page.after) versions.after = version_number(*page.after).value_or(0);
  auto list = co_await agents_.versions(std::move(project), id, versions);
  if (!list && list.error().param == "after")
    co_return fail(ErrorCode::kNotFound,
                   fmt::format("No version '{}' found of this agent.", *page.after), "after");
  if (!list) co_return std::unexpected(std::move(list).error());
  CO_TRY(body, saved_agent_list_json(*list, true));
  co_return http::json_response(200, std::move(body));
}

// ---- repeated requests ------------------------------------------------------------------------

Task<Result<Idempotency::Ticket>> AgentRoutes::take_ticket(identity::Caller caller,
                                                           std::optional<std::string> key,
                                                           std::string route,
                                                           std::string canonical_body) {
  if (!key) co_return Idempotency::Ticket();
  co_return co_await idempotency_.begin(std::move(caller), std::move(route), *std::move(key),
                                        std::move(canonical_body));
}

Task<AgentRoutes::Answer> AgentRoutes::answer_again(ProjectId project,
                                                    journal::IdempotencyRecord record) {
  auto agent =
      co_await agents_.find(std::move(project), record.session, version_number(record.body));
  if (!agent && agent.error().code == ErrorCode::kNotFound)
    co_return fail(ErrorCode::kConflict,
                   "The agent that this Idempotency-Key wrote has been deleted.",
                   "Idempotency-Key");
  if (!agent) co_return std::unexpected(std::move(agent).error());
  CO_TRY(body, saved_agent_json(*agent));  // a version is as it was made
  co_return http::json_response(record.status, std::move(body));
}

}  // namespace perdure::facades::agents_api
