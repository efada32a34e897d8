#include "tools/mcp_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/raw_json.h"
#include "tools/limits.h"

namespace perdure::tools::mcp {
namespace {

constexpr std::string_view kClientInfo = R"({"name":"perdure","version":"0.1"})";

std::unexpected<Error> no_message(std::string_view what) {
  return fail(ErrorCode::kUpstream, fmt::format("it sent something that is {}", what));
}

/// A name that can stand in a header field and in a prompt.
bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxServerToolName &&
         std::ranges::none_of(name, [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
         });
}

RepeatClass class_of(const json::object& tool) {
  const json::object& hints = get_object(tool, "annotations");
  if (get_bool(hints, "readOnlyHint")) return RepeatClass::kPure;
  if (get_bool(hints, "idempotentHint")) return RepeatClass::kRepeatable;
  return RepeatClass::kOpaque;
}

bool is_object_schema(std::string_view schema) {
  auto value = parse_json(schema);
  return value && value->is_object() && get_string(value->get_object(), "type") == "object";
}

/// The tool, or why it cannot be offered.
std::expected<ServerTool, std::string> read_tool(std::string_view text, bool modern) {
  auto value = parse_json(text);
  if (!value || !value->is_object()) return std::unexpected("an entry that is no object");
  const json::object& object = value->get_object();
  ServerTool tool;
  tool.name = get_string(object, "name");
  if (!is_name(tool.name)) return std::unexpected("a tool without a usable name");
  tool.description = get_string(object, "description");
  if (tool.description.empty()) tool.description = get_string(object, "title");
  auto schema = raw_member(text, "inputSchema");
  if (!schema || !is_object_schema(*schema))
    return std::unexpected(fmt::format("'{}', whose arguments are no object", excerpt(tool.name)));
  if (modern && schema->find("\"x-mcp-header\"") != std::string_view::npos)
    return std::unexpected(
        fmt::format("'{}', which wants arguments in header fields", excerpt(tool.name)));
  tool.parameters = *schema;
  tool.repeat_class = class_of(object);
  return tool;
}

/// What the model reads of one block of content.
std::string text_of_block(const json::object& block) {
  std::string_view type = get_string(block, "type");
  if (type == "text") return std::string(get_string(block, "text"));
  if (type == "resource_link")
    return fmt::format("[Resource {}: {}]", get_string(block, "uri"), get_string(block, "name"));
  if (type == "resource") {
    const json::object& resource = get_object(block, "resource");
    if (find(resource, "text")) return std::string(get_string(resource, "text"));
    return fmt::format("[Resource {}, which is no text]", get_string(resource, "uri"));
  }
  return fmt::format("[A block of type {} {}, which cannot be shown]", type,
                     get_string(block, "mimeType"));
}

std::string text_of_content(const json::object& result, std::string_view text) {
  std::string out;
  for (const json::value& block : get_array(result, "content")) {
    if (!block.is_object()) continue;
    if (!out.empty()) out += '\n';
    out += text_of_block(block.get_object());
  }
  if (!out.empty()) return out;
  // A server should repeat it as text; one that does not is understood all the same.
  return std::string(raw_member(text, "structuredContent").value_or(""));
}

}  // namespace

std::string request_text(std::int64_t id, std::string_view method, std::string_view params,
                         std::string_view meta) {
  std::string members(params);
  if (!meta.empty()) members += fmt::format("{}\"_meta\":{{{}}}", members.empty() ? "" : ",", meta);
  return fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"{}","params":{{{}}}}})", id, method,
                     members);
}

std::string notification_text(std::string_view method) {
  return fmt::format(R"({{"jsonrpc":"2.0","method":"{}"}})", method);
}

std::string modern_meta() {
  return fmt::format(
      R"("io.modelcontextprotocol/protocolVersion":"{}","io.modelcontextprotocol/clientInfo":{},)"
      R"("io.modelcontextprotocol/clientCapabilities":{{}})",
      kModernVersion, kClientInfo);
}

std::string initialize_params() {
  return fmt::format(R"("protocolVersion":"{}","capabilities":{{}},"clientInfo":{})",
                     kLegacyVersion, kClientInfo);
}

bool speaks_legacy(std::string_view version) {
  constexpr std::array<std::string_view, 4> kVersions = {kLegacyVersion, "2025-06-18", "2025-03-26",
                                                         "2024-11-05"};
  return std::ranges::find(kVersions, version) != kVersions.end();
}

Result<std::optional<RpcAnswer>> read_message(std::string_view text, std::int64_t id,
                                              bool* list_changed) {
  if (auto strict = check_strict_json(text); !strict)
    return no_message("no JSON that can be relied on: " + strict.error().message);
  auto value = parse_json(text);
  if (!value || !value->is_object()) return no_message("no JSON-RPC message");
  const json::object& message = value->get_object();
  if (get_string(message, "jsonrpc") != "2.0") return no_message("no JSON-RPC message");
  if (find(message, "method")) {
    if (get_string(message, "method") == "notifications/tools/list_changed") *list_changed = true;
    return std::nullopt;
  }
  const json::value* answers = find(message, "id");
  bool is_ours = answers && answers->is_number() && get_int(message, "id", -1) == id;
  const json::value* error = find(message, "error");
  // An error about a request that could not be read has no id, or null.
  bool is_anybodys = error && (!answers || answers->is_null());
  if (!is_ours && !is_anybodys) return std::nullopt;
  if (error) {
    if (!error->is_object()) return no_message("no JSON-RPC message");
    const json::object& object = error->get_object();
    return RpcAnswer{{}, RpcError{get_int(object, "code"), excerpt(get_string(object, "message"))}};
  }
  auto result = raw_member(text, "result");
  if (!result || !result->starts_with('{')) return no_message("an answer without a result");
  return RpcAnswer{std::string(*result), std::nullopt};
}

Result<ToolPage> read_tool_page(std::string_view result, bool modern) {
  auto list = raw_member(result, "tools");
  if (!list || !list->starts_with('['))
    return fail(ErrorCode::kUpstream, "its list of tools has no 'tools'");
  ToolPage page;
  for_each_raw_element(*list, [&](std::string_view text) {
    auto tool = read_tool(text, modern);
    if (tool)
      page.tools.push_back(std::move(*tool));
    else
      page.left_out.push_back(std::move(tool).error());
  });
  auto cursor = raw_member(result, "nextCursor");
  if (cursor && cursor->starts_with('"')) page.next_cursor = *cursor;
  return page;
}

ToolResult read_call_result(std::string_view text) {
  auto value = parse_json(text);
  if (!value || !value->is_object())
    return {.output = "The tool's answer could not be read.", .unknown = true};
  const json::object& result = value->get_object();
  std::string_view type = get_string(result, "resultType", "complete");
  if (type == "input_required")
    return {.output =
                "The tool asked for more input from a person, which is not supported yet. It "
                "has not done its work."};
  if (type != "complete")
    return {.output = "The tool answered in a way that is not understood.", .unknown = true};
  ToolResult out{.success = !get_bool(result, "isError"), .output = text_of_content(result, text)};
  if (!out.success && out.output.empty()) out.output = "The tool failed without saying why.";
  return out;
}

std::string header_value(std::string_view value) {
  auto plain = [](char c) { return c >= 0x20 && c < 0x7f; };
  bool as_it_is = std::ranges::all_of(value, plain) && !value.starts_with(' ') &&
                  !value.ends_with(' ') && !value.starts_with("=?base64?");
  return as_it_is ? std::string(value) : fmt::format("=?base64?{}?=", to_base64(value));
}

std::string excerpt(std::string_view text) {
  std::string out;
  while (!text.empty() && out.size() < kMaxServerErrorBytes) {
    std::size_t length = utf8_sequence_length(text);
    if (length == 0) {
      out += '?';
      text.remove_prefix(1);
      continue;
    }
    bool control = length == 1 && (static_cast<unsigned char>(text[0]) < 0x20 || text[0] == 0x7f);
    out += control ? std::string_view(" ") : text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace perdure::tools::mcp
