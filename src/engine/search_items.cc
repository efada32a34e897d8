#include "engine/search_items.h"

#include <fmt/format.h>

#include <utility>

#include "engine/bounded_text.h"
#include "engine/memory_tool.h"
#include "engine/search_tools.h"

namespace perdure::engine {
namespace {

/// Whether what the tool gave is found elsewhere already: else it is found because it was found.
bool brings_back(std::string_view tool) {
  return is_search_tool(tool) || tool == kMemoryTool;
}

using journal::SearchKind;

/// What a client's result says: the text of a string, or of the parts that have one.
std::string text_of(const FunctionOutputBody& body) {
  if (!body.success) return body.error.value_or("");
  if (!body.output) return "";
  auto value = parse_json(*body.output);
  if (!value) return *body.output;
  if (value->is_string()) return std::string(as_view(value->get_string()));
  std::string text;
  if (value->is_array())
    for (const json::value& part : value->get_array())
      if (part.is_object()) {
        if (!text.empty()) text += '\n';
        text += get_string(part.get_object(), "text");
      }
  return text;
}

std::string text_of(const std::vector<models::ContentPart>& parts) {
  std::string text;
  for (const models::ContentPart& part : parts) {
    if (part.text.empty()) continue;
    if (!text.empty()) text += '\n';
    text += part.text;
  }
  return text;
}

bool is_result(journal::Kind kind) {
  return kind == journal::kFunctionOutput || kind == journal::kEffectFinished ||
         kind == journal::kEffectUnknown || kind == journal::kEffectDenied;
}

}  // namespace

const std::vector<journal::Kind>& SearchReader::kinds() {
  static const std::vector<journal::Kind> kKinds = {
      journal::kSessionCreated, journal::kUserMessage,    journal::kModelCallFinished,
      journal::kFunctionOutput, journal::kEffectFinished, journal::kEffectUnknown,
      journal::kEffectDenied};
  return kKinds;
}

Result<void> SearchReader::add(const journal::Entry& entry) {
  switch (entry.kind) {
    case journal::kSessionCreated: {
      TRY(body, decode<SessionCreatedBody>(entry.body));
      agent_ = std::move(body.agent.id);
      return {};
    }
    case journal::kUserMessage: {
      TRY(body, decode<UserMessageBody>(entry.body));
      push(entry, 0, body.turn, SearchKind::kUser, local_id("msg", session_, {entry.seq, 0}),
           text_of(body.parts), bounds_.message);
      return {};
    }
    case journal::kModelCallFinished: {
      TRY(body, decode<ModelCallFinishedBody>(entry.body));
      learn(entry.seq, body);
      add_items(entry, body);
      return {};
    }
    case journal::kFunctionOutput: {
      TRY(body, decode<FunctionOutputBody>(entry.body));
      add_result(entry, body.turn, body.call_id, text_of(body));
      return {};
    }
    case journal::kEffectFinished:
    case journal::kEffectUnknown:
    case journal::kEffectDenied: {
      TRY(body, decode<EffectEndedBody>(entry.body));
      add_result(entry, body.turn, body.call_id, body.output);
      return {};
    }
    default:
      return {};
  }
}

Result<void> SearchReader::note_calls(const journal::Entry& entry) {
  if (entry.kind != journal::kModelCallFinished) return {};
  TRY(body, decode<ModelCallFinishedBody>(entry.body));
  learn(entry.seq, body);
  return {};
}

Result<bool> SearchReader::knows_call_of(const journal::Entry& entry, std::uint64_t* turn) const {
  if (!is_result(entry.kind)) return true;
  std::string call_id;
  if (entry.kind == journal::kFunctionOutput) {
    TRY(body, decode<FunctionOutputBody>(entry.body));
    call_id = std::move(body.call_id);
    *turn = body.turn;
  } else {
    TRY(body, decode<EffectEndedBody>(entry.body));
    call_id = std::move(body.call_id);
    *turn = body.turn;
  }
  return calls_.contains(call_id);
}

void SearchReader::learn(std::uint64_t seq, const ModelCallFinishedBody& body) {
  for (std::uint32_t i = 0; i < body.items.size(); ++i) {
    const FinishedItem& finished = body.items[i];
    if (finished.item.type != models::OutputType::kFunctionCall) continue;
    Call& call = calls_[finished.item.call_id];
    call = {finished.item.name, local_id(finished.mcp ? "mcp" : "fc", session_, {seq, i + 1}),
            !finished.mcp && !finished.client && brings_back(finished.item.name)};
    if (finished.mcp) call.name = finished.mcp->server + '/' + finished.mcp->tool;
  }
}

void SearchReader::add_items(const journal::Entry& entry, const ModelCallFinishedBody& body) {
  bool first_message = true;
  for (std::uint32_t i = 0; i < body.items.size(); ++i) {
    const models::OutputItem& item = body.items[i].item;
    if (item.type == models::OutputType::kMessage) {
      // As the fold names it: the first message's id was reserved by the call.
      Place place =
          std::exchange(first_message, false) ? Place{body.call, 0} : Place{entry.seq, i + 1};
      push(entry, i + 1, body.turn, SearchKind::kAssistant, local_id("msg", session_, place),
           item.text, bounds_.message);
    } else if (item.type == models::OutputType::kFunctionCall) {
      const Call& call = calls_.find(item.call_id)->second;
      if (call.hidden) continue;
      push(entry, i + 1, body.turn, SearchKind::kToolCall, call.item,
           fmt::format("{} {}", call.name, item.arguments), bounds_.call);
    }
  }
}

void SearchReader::add_result(const journal::Entry& entry, std::uint64_t turn,
                              const std::string& call_id, std::string_view text) {
  const auto call = calls_.find(call_id);
  if (call != calls_.end() && call->second.hidden) return;
  // The result of a server's tool is a part of the call's item.
  bool of_server = call != calls_.end() && call->second.item.starts_with("mcp_");
  push(entry, 0, turn, SearchKind::kToolResult,
       of_server ? call->second.item : local_id("fco", session_, {entry.seq, 0}),
       call == calls_.end() ? std::string(text) : fmt::format("{}: {}", call->second.name, text),
       bounds_.call);
}

void SearchReader::push(const journal::Entry& entry, std::uint32_t sub, std::uint64_t turn,
                        SearchKind kind, std::string item, std::string_view text,
                        std::size_t most) {
  std::string fit = bounded_text(text, most);
  if (fit.empty()) return;
  items_.push_back({.place = {entry.seq, sub},
                    .turn = turn,
                    .kind = kind,
                    .item = std::move(item),
                    .time = entry.time,
                    .text = std::move(fit)});
}

}  // namespace perdure::engine
