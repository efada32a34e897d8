#include "tools/mcp_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::tools::mcp {
namespace {

using ::testing::HasSubstr;

TEST(McpMessage, ReadsTheAnswerToItsOwnRequestOnly) {
  bool changed = false;
  auto answer = read_message(R"({"jsonrpc":"2.0","id":7,"result":{"a":1.0}})", 7, &changed);
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((*answer)->result, R"({"a":1.0})") << "the server's own bytes";
  for (const char* other :
       {R"({"jsonrpc":"2.0","id":8,"result":{}})", R"({"jsonrpc":"2.0","id":"7","result":{}})",
        R"({"jsonrpc":"2.0","method":"notifications/progress","params":{}})",
        R"({"jsonrpc":"2.0","id":7,"method":"sampling/createMessage"})"}) {
    auto nothing = read_message(other, 7, &changed);
    EXPECT_TRUE(nothing && !*nothing) << other;
  }
  EXPECT_FALSE(changed);
  ASSERT_TRUE(read_message(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})", 7,
                           &changed));
  EXPECT_TRUE(changed);
}

TEST(McpMessage, RefusesWhatTwoReadersCouldTakeDifferently) {
  bool changed = false;
  for (const char* bad :
       {"", "nothing", "[]", R"({"id":7,"result":{}})",
        R"({"jsonrpc":"2.0","id":7,"result":{"a":1,"a":2}})",
        R"({"jsonrpc":"2.0","id":7,"result":"text"})", R"({"jsonrpc":"2.0","id":7})",
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":\"\xff\"}}"})
    EXPECT_FALSE(read_message(bad, 7, &changed)) << bad;
}

TEST(McpMessage, AnErrorWithoutAnIdIsOurs) {
  bool changed = false;
  auto answer =
      read_message(R"({"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no\nsession"}})",
                   7, &changed);
  ASSERT_TRUE(answer && *answer && (*answer)->error);
  EXPECT_EQ((*answer)->error->code, -32000);
  EXPECT_EQ((*answer)->error->message, "no session") << "one line";
}

TEST(McpMessage, TakesTheRepeatClassFromTheHints) {
  auto page = read_tool_page(
      R"({"tools":[{"name":"look","description":"d","inputSchema":{"type":"object"},)"
      R"("annotations":{"readOnlyHint":true}},)"
      R"({"name":"put","inputSchema":{"type":"object"},"annotations":{"idempotentHint":true}},)"
      R"({"name":"book","title":"Books","inputSchema":{"type":"object"},)"
      R"("annotations":{"readOnlyHint":"yes","destructiveHint":false}}],"nextCursor":"n\"2"})",
      true);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->tools.size(), 3u);
  EXPECT_EQ(page->tools[0].repeat_class, RepeatClass::kPure);
  EXPECT_EQ(page->tools[1].repeat_class, RepeatClass::kRepeatable);
  EXPECT_EQ(page->tools[2].repeat_class, RepeatClass::kOpaque) << "a hint that is no hint";
  EXPECT_EQ(page->tools[2].description, "Books");
  EXPECT_EQ(page->next_cursor, R"("n\"2")");
}

TEST(McpMessage, OneBadToolDoesNotCostTheOthers) {
  constexpr std::string_view kPage =
      R"({"tools":[{"name":""},1,{"name":"a","inputSchema":{"type":"array"}},{"name":"b"},)"
      R"({"name":"c","inputSchema":{"type":"object","properties":{"r":{"type":"string",)"
      R"("x-mcp-header":"Region"}}}},{"name":"d","inputSchema":{"type":"object"}}]})";
  auto modern = read_tool_page(kPage, true);
  ASSERT_TRUE(modern);
  ASSERT_EQ(modern->tools.size(), 1u);
  EXPECT_EQ(modern->tools[0].name, "d");
  EXPECT_EQ(modern->left_out.size(), 5u);
  EXPECT_EQ(read_tool_page(kPage, false)->tools.size(), 2u) << "of old, nothing is mirrored";
  EXPECT_FALSE(read_tool_page(R"({"tool":[]})", true));
}

TEST(McpMessage, GivesTheModelTheTextOfAResult) {
  auto text = [](std::string_view result) { return read_call_result(result); };
  EXPECT_EQ(text(R"({"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]})").output,
            "a\nb");
  EXPECT_EQ(text(R"({"content":[],"structuredContent":{"n":1.50}})").output, R"({"n":1.50})");
  EXPECT_EQ(text(R"({"content":[{"type":"text","text":"t"}],"structuredContent":{}})").output, "t");
  EXPECT_THAT(text(R"({"content":[{"type":"image","data":"AAAA","mimeType":"image/png"}]})").output,
              HasSubstr("image/png"));
  EXPECT_THAT(
      text(R"({"content":[{"type":"resource","resource":{"uri":"x:1","text":"body"}}]})").output,
      HasSubstr("body"));
  ToolResult failed = text(R"({"isError":true,"content":[{"type":"text","text":"no seat"}]})");
  EXPECT_FALSE(failed.success);
  EXPECT_FALSE(failed.unknown);
  EXPECT_EQ(failed.output, "no seat");
}

TEST(McpMessage, AResultThatIsNoneSaysSo) {
  ToolResult asks = read_call_result(R"({"resultType":"input_required","inputRequests":{}})");
  EXPECT_FALSE(asks.success);
  EXPECT_FALSE(asks.unknown);
  ToolResult strange = read_call_result(R"({"resultType":"task","taskId":"1"})");
  EXPECT_FALSE(strange.success);
  EXPECT_TRUE(strange.unknown) << "what it has begun may go on";
}

TEST(McpMessage, EncodesHeaderValues) {
  EXPECT_EQ(header_value("us-west1"), "us-west1");
  EXPECT_EQ(header_value("Hello, 世界"), "=?base64?SGVsbG8sIOS4lueVjA==?=");
  EXPECT_EQ(header_value(" padded "), "=?base64?IHBhZGRlZCA=?=");
  EXPECT_EQ(header_value("a\nb"), "=?base64?YQpi?=");
  EXPECT_EQ(header_value("=?base64?literal?="), "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=");
}

}  // namespace
}  // namespace perdure::tools::mcp
