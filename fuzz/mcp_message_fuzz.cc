// Whatever an MCP server sends, what is read of it is bounded, valid, and safe to pass on.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/raw_json.h"
#include "tools/limits.h"
#include "tools/mcp_message.h"

namespace {

namespace tools = perdure::tools;
namespace mcp = perdure::tools::mcp;

void demand(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "violated: %s\n", promise);
  std::abort();
}

bool is_sentence(std::string_view text) {
  return perdure::is_valid_utf8(text) &&
         std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

void check_tools(std::string_view result) {
  for (bool modern : {false, true}) {
    auto page = mcp::read_tool_page(result, modern);
    if (!page) {
      demand(is_sentence(page.error().message), "a list that is none is told in a sentence");
      continue;
    }
    for (const tools::ServerTool& tool : page->tools) {
      demand(!tool.name.empty() && tool.name.size() <= tools::kMaxServerToolName,
             "a tool's name is bounded");
      demand(is_sentence(tool.name), "a tool's name is a name");
      demand(perdure::is_valid_utf8(tool.description), "a description is UTF-8");
      demand(tool.parameters.starts_with('{') && perdure::check_strict_json(tool.parameters),
             "a schema is an object");
    }
    for (const std::string& why : page->left_out)
      demand(is_sentence(why) && why.size() < 2 * tools::kMaxServerErrorBytes,
             "what is left out is told in a sentence");
    demand(page->next_cursor.empty() || (page->next_cursor.starts_with('"') &&
                                         perdure::check_strict_json(page->next_cursor)),
           "a cursor is a JSON string");
    // It goes back as it came.
    demand(perdure::check_strict_json(
               mcp::request_text(2, "tools/list",
                                 page->next_cursor.empty() ? "" : "\"cursor\":" + page->next_cursor,
                                 mcp::modern_meta()))
               .has_value(),
           "a request is JSON");
  }
}

void check_texts(std::string_view input) {
  std::string excerpt = mcp::excerpt(input);
  demand(is_sentence(excerpt), "an excerpt is one line of UTF-8");
  demand(excerpt.size() < tools::kMaxServerErrorBytes + 4, "an excerpt is bounded");
  std::string header = mcp::header_value(input);
  demand(std::ranges::all_of(header, [](char c) { return c >= 0x20 && c < 0x7f; }),
         "a header's value cannot end the header");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  check_texts(input);
  bool list_changed = false;
  auto message = mcp::read_message(input, 1, &list_changed);
  if (!message) {
    demand(perdure::is_valid_utf8(message.error().message), "what is no message is told as text");
    return 0;
  }
  if (!*message) return 0;
  const mcp::RpcAnswer& answer = **message;
  demand(!list_changed, "an answer is no notification");
  if (answer.error) {
    demand(answer.result.empty(), "an error has no result");
    demand(is_sentence(answer.error->message), "an error is one line of UTF-8");
    return 0;
  }
  demand(answer.result.starts_with('{') && perdure::check_strict_json(answer.result),
         "a result is an object");
  check_tools(answer.result);
  tools::ToolResult result = mcp::read_call_result(answer.result);
  demand(perdure::is_valid_utf8(result.output), "what the model reads is UTF-8");
  demand(result.success || !result.output.empty(), "a failure says something");
  return 0;
}
