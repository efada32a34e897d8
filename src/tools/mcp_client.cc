#include "tools/mcp_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <stop_token>
#include <utility>

#include "async/within.h"
#include "base/log.h"
#include "http/sse_parser.h"
#include "tools/limits.h"
#include "tools/scrub.h"

namespace perdure::tools {
namespace {

bool succeeded(int status) {
  return status >= 200 && status < 300;
}

/// Whether a refusal shows that the server speaks the modern protocol.
bool is_modern(const mcp::RpcError& error) {
  return error.code == mcp::kHeaderMismatch || error.code == mcp::kMissingCapability;
}

bool is_session_id(std::string_view id) {
  return id.size() <= kMaxServerSessionId &&
         std::ranges::all_of(id, [](char c) { return c > 0x20 && c < 0x7f; });
}

std::size_t size_of(const ServerTool& tool) {
  return tool.name.size() + tool.description.size() + tool.parameters.size();
}

}  // namespace

McpClient::McpClient(async::Executor executor, http::Client& http, McpTarget target)
    : http_(http), target_(std::move(target)), meeting_(std::move(executor), 1) {}

// ---- what is asked of it ------------------------------------------------------------------------

Task<Result<std::vector<ServerTool>>> McpClient::list_tools(async::CancelToken cancel) {
  std::vector<ServerTool> tools;
  std::size_t bytes = 0;
  std::string cursor;
  for (int pages = 0; pages < kMaxListPages; ++pages) {
    Question question{.method = "tools/list", .most_ms = kListMs};
    if (!cursor.empty()) question.params = "\"cursor\":" + cursor;
    CO_TRY(reply, co_await ask(std::move(question), cancel));
    if (!reply.answer || reply.answer->error || !succeeded(reply.status))
      co_return std::unexpected(refusal(reply));
    auto page = mcp::read_tool_page(reply.answer->result, era_ == Era::kModern);
    if (!page) co_return failed(ErrorCode::kUpstream, page.error().message);
    for (const std::string& why : page->left_out)
      log::warn("a tool of an MCP server is not offered",
                {{"server", target_.label}, {"tool", scrubbed(why)}});
    for (ServerTool& tool : page->tools) {
      // What stands here goes to the model, who is somebody else. With another name it could not be
      // called.
      if (scrubbed(tool.name) != tool.name) {
        log::warn("a tool of an MCP server has the server's credential in its name",
                  {{"server", target_.label}});
        continue;
      }
      tool.description = scrubbed(std::move(tool.description));
      tool.parameters = scrubbed(std::move(tool.parameters));
      bool known = std::ranges::find(tools, tool.name, &ServerTool::name) != tools.end();
      if (known) continue;
      bytes += size_of(tool);
      tools.push_back(std::move(tool));
    }
    if (tools.size() > kMaxListedTools || bytes > kMaxToolListBytes)
      co_return failed(ErrorCode::kTooLarge,
                       fmt::format("it offers more than {} tools or {} bytes of descriptions",
                                   kMaxListedTools, kMaxToolListBytes));
    cursor = std::move(page->next_cursor);
    if (cursor.empty()) co_return tools;
  }
  co_return failed(ErrorCode::kTooLarge,
                   fmt::format("its list of tools has more than {} pages", kMaxListPages));
}

Task<ToolResult> McpClient::call_tool(std::string tool, ToolCall call, async::CancelToken cancel) {
  std::string name;
  append_quoted(name, tool);
  std::string key;
  append_quoted(key, call.idempotency_key);
  Question question{.method = "tools/call",
                    .params = fmt::format("\"name\":{},\"arguments\":{}", name, call.arguments),
                    .meta = fmt::format("\"perdure/idempotencyKey\":{}", key),
                    .name = std::move(tool),
                    .most_ms = kCallMs};
  auto reply = co_await ask(std::move(question), cancel);
  const bool tools_changed = reply && reply->list_changed;
  std::optional<Error> error;
  if (!reply)
    error = reply.error();
  else if (!reply->answer || reply->answer->error || !succeeded(reply->status))
    error = refusal(*reply);
  ToolResult result;
  if (error) {
    result.output = std::move(error->message);
    result.unknown = error->reason != kNotCarriedOut;
  } else {
    result = mcp::read_call_result(reply->answer->result);
  }
  result.output = scrubbed(std::move(result.output));
  result.tools_changed = tools_changed;
  co_return result;
}

// ---- finding a common language ------------------------------------------------------------------

Task<Result<McpClient::Reply>> McpClient::ask(Question question, async::CancelToken cancel) {
  for (bool again = false;; again = true) {
    CO_TRY_VOID(co_await meet(cancel));
    std::string session = session_id_;
    CO_TRY(reply, co_await exchange(question, era_, cancel));
    // 404 is what the protocol says; some answer 400 with the general code.
    bool forgotten =
        reply.status == 404 || (reply.status == 400 && (!reply.answer || !reply.answer->error ||
                                                        reply.answer->error->code == -32000));
    if (session.empty() || !forgotten || again) co_return reply;
    if (session_id_ == session) met_ = false;
  }
}

Task<Result<void>> McpClient::meet(async::CancelToken cancel) {
  if (met_) co_return Result<void>{};
  auto lock = co_await meeting_.acquire();
  if (met_) co_return Result<void>{};
  if (era_ == Era::kUnknown) {
    auto reply = co_await exchange({.method = "server/discover", .most_ms = kListMs / 3},
                                   Era::kModern, cancel);
    // A server of old may stay silent; one that cannot be reached will not speak otherwise either.
    if (!reply && reply.error().code != ErrorCode::kDeadlineExceeded)
      co_return std::unexpected(reply.error());
    bool modern =
        reply && reply->answer &&
        (reply->answer->error ? is_modern(*reply->answer->error) : succeeded(reply->status));
    if (modern) {
      era_ = Era::kModern;
      met_ = true;
      co_return Result<void>{};
    }
  }
  CO_TRY_VOID(co_await initialize(cancel));
  era_ = Era::kLegacy;
  met_ = true;
  co_return Result<void>{};
}

Task<Result<void>> McpClient::initialize(async::CancelToken cancel) {
  session_id_.clear();
  version_.clear();
  CO_TRY(reply,
         co_await exchange(
             {.method = "initialize", .params = mcp::initialize_params(), .most_ms = kListMs},
             Era::kLegacy, cancel));
  if (!reply.answer || reply.answer->error || !succeeded(reply.status))
    co_return std::unexpected(refusal(reply));
  auto result = parse_json(reply.answer->result);
  std::string version(result ? get_string(result->get_object(), "protocolVersion") : "");
  if (!mcp::speaks_legacy(version))
    co_return failed(ErrorCode::kUpstream,
                     fmt::format("it speaks the protocol's version '{}', which this server does "
                                 "not",
                                 mcp::excerpt(version)),
                     kNotCarriedOut);
  if (!is_session_id(reply.session_id))
    co_return failed(ErrorCode::kUpstream, "it handed out a session id that no header can carry",
                     kNotCarriedOut);
  session_id_ = std::move(reply.session_id);
  version_ = std::move(version);
  // The answer to a notification has nothing that matters, and a server that minds will say so.
  http::ClientRequest note = request({.method = "", .most_ms = kListMs}, Era::kLegacy,
                                     mcp::notification_text("notifications/initialized"));
  auto sent = co_await async::within(kListMs, http_.send(std::move(note)));
  if (!sent || !*sent)
    co_return failed(ErrorCode::kUpstream, "it did not take our greeting", kNotCarriedOut);
  auto ignored = co_await async::within(kListMs, (**sent)->read_all(kMaxServerErrorBytes));
  co_return Result<void>{};
}

// ---- one request --------------------------------------------------------------------------------

http::ClientRequest McpClient::request(const Question& question, Era era, std::string body) const {
  http::ClientRequest request{.method = "POST", .url = target_.url, .headers = target_.headers};
  http::Headers& headers = request.headers;
  headers.add("content-type", "application/json");
  headers.add("accept", "application/json, text/event-stream");
  if (!target_.authorization.empty()) headers.add("authorization", target_.authorization);
  if (era == Era::kModern) {
    headers.add("mcp-protocol-version", std::string(mcp::kModernVersion));
    headers.add("mcp-method", question.method);
    if (!question.name.empty()) headers.add("mcp-name", mcp::header_value(question.name));
  } else {
    if (!version_.empty()) headers.add("mcp-protocol-version", version_);
    if (!session_id_.empty()) headers.add("mcp-session-id", session_id_);
  }
  request.body = std::move(body);
  request.timeouts.headers_ms = std::min(question.most_ms, kCallSilenceMs);
  request.timeouts.idle_ms = kCallSilenceMs;
  return request;
}

Task<Result<McpClient::Reply>> McpClient::exchange(Question question, Era era,
                                                   async::CancelToken cancel) {
  if (cancel.cancelled()) co_return failed(ErrorCode::kCancelled, "cancelled", kNotCarriedOut);
  std::int64_t id = ++next_id_;
  std::string meta = question.meta;
  if (era == Era::kModern) meta = mcp::modern_meta() + (meta.empty() ? "" : "," + meta);
  http::ClientRequest ask =
      request(question, era, mcp::request_text(id, question.method, question.params, meta));
  auto stop = std::make_shared<std::stop_source>();
  // The token may outlive this call by far: its callback must find nothing then.
  cancel.on_cancel([weak = std::weak_ptr(stop)] {
    if (auto alive = weak.lock()) alive->request_stop();
  });
  ask.stop = stop->get_token();
  auto reply = co_await async::within(question.most_ms, converse(std::move(ask), id));
  if (!reply) co_return failed(ErrorCode::kDeadlineExceeded, "it did not answer in time");
  co_return std::move(*reply);
}

Task<Result<McpClient::Reply>> McpClient::converse(http::ClientRequest request, std::int64_t id) {
  auto sent = co_await http_.send(std::move(request));
  if (!sent) {
    const Error& error = sent.error();
    co_return failed(error.code,
                     error.code == ErrorCode::kDeadlineExceeded ? "it did not answer in time"
                     : error.reason == http::kNotSent           ? "it cannot be reached"
                                                      : "the connection broke before it answered",
                     error.reason == http::kNotSent ? kNotCarriedOut : std::string_view());
  }
  http::ClientResponse* response = sent->get();
  std::string_view type = response->headers().get("content-type").value_or("");
  Result<Reply> reply = type.starts_with("text/event-stream") ? co_await read_stream(response, id)
                                                              : co_await read_whole(response, id);
  if (!reply) co_return reply;
  reply->status = response->status();
  reply->session_id = response->headers().get("mcp-session-id").value_or("");
  co_return reply;
}

Task<Result<McpClient::Reply>> McpClient::read_stream(http::ClientResponse* response,
                                                      std::int64_t id) {
  http::SseParser parser({.max_line = kMaxServerAnswerBytes, .max_event = kMaxServerAnswerBytes});
  std::vector<http::SseEvent> events;
  std::size_t received = 0;
  Reply reply;
  while (true) {
    auto piece = co_await response->read();
    if (!piece) co_return failed(piece.error().code, "its answer broke off");
    if (!*piece) break;
    received += (*piece)->size();
    events.clear();
    Result<void> fed = parser.feed(**piece, events);
    for (const http::SseEvent& event : events) {
      if (event.data.empty()) continue;  // what a stream may begin with, to be rejoined
      auto answer = mcp::read_message(event.data, id, &reply.list_changed);
      if (!answer) co_return failed(ErrorCode::kUpstream, answer.error().message);
      if (!*answer) continue;
      reply.answer = std::move(*answer);
      co_return reply;
    }
    if (!fed || received > kMaxServerAnswerBytes)
      co_return failed(ErrorCode::kTooLarge, "its answer is too large");
  }
  if (!succeeded(response->status())) co_return reply;
  co_return failed(ErrorCode::kUpstream, "its answer ended without a result");
}

Task<Result<McpClient::Reply>> McpClient::read_whole(http::ClientResponse* response,
                                                     std::int64_t id) {
  auto body = co_await response->read_all(kMaxServerAnswerBytes);
  bool good = succeeded(response->status());
  Reply reply;
  if (!body && good)
    co_return failed(body.error().code, body.error().code == ErrorCode::kTooLarge
                                            ? "its answer is too large"
                                            : "its answer broke off");
  if (!body) co_return reply;
  auto answer = mcp::read_message(*body, id, &reply.list_changed);
  if (answer) reply.answer = std::move(*answer);
  if (!reply.answer && good)
    co_return failed(ErrorCode::kUpstream,
                     answer ? "it gave no answer" : std::string_view(answer.error().message));
  co_return reply;
}

// ---- sentences ----------------------------------------------------------------------------------

std::unexpected<Error> McpClient::failed(ErrorCode code, std::string_view what,
                                         std::string_view reason) const {
  return fail(code, scrubbed(fmt::format("The MCP server '{}' failed: {}.", target_.label, what)),
              {}, std::string(reason));
}

Error McpClient::refusal(const Reply& reply) const {
  std::string what;
  if (reply.answer && reply.answer->error)
    what = fmt::format("it answered with the error {}: {}", reply.answer->error->code,
                       reply.answer->error->message);
  else if (reply.status == 401 || reply.status == 403)
    what = fmt::format("it wants a credential that it did not get (status {})", reply.status);
  else if (reply.status >= 300 && reply.status < 400)
    what =
        fmt::format("it answered with a redirect (status {}), which is not followed", reply.status);
  else
    what = fmt::format("it answered with status {}", reply.status);
  // An error in the protocol's own words is an answer; a bare 5xx may be a proxy's, after the fact.
  bool said = reply.answer && reply.answer->error;
  bool refused = reply.status < 500 && reply.status != 408;
  return failed(ErrorCode::kUpstream, what, said || refused ? kNotCarriedOut : "").error();
}

std::string McpClient::scrubbed(std::string text) const {
  std::string_view secret = target_.authorization;
  if (auto space = secret.rfind(' '); space != std::string_view::npos)
    secret.remove_prefix(space + 1);
  return scrub(std::move(text), secret);
}

}  // namespace perdure::tools
