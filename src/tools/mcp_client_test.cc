#include "tools/mcp_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/limits.h"
#include "tools/mcp_test_support.h"

namespace perdure::tools {
namespace {

using testing::Answer;
using ::testing::ElementsAre;
using testing::error_text;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::result_text;
using Received = testing::FakeHttp::Received;

constexpr std::string_view kTools =
    R"({"tools":[{"name":"book","inputSchema":{"type":"object"}}]})";
constexpr std::string_view kBooked = R"({"content":[{"type":"text","text":"booked"}]})";
constexpr std::string_view kLegacyHello =
    R"({"protocolVersion":"2025-06-18","capabilities":{"tools":{}},)"
    R"("serverInfo":{"name":"s","version":"1"}})";

class McpClientTest : public ::testing::Test {
 protected:
  Result<std::vector<ServerTool>> list() { return run(client.list_tools(source.token())); }
  ToolResult call(std::string arguments = "{}") {
    return run(client.call_tool("book", {{{"p"}, {"sess_1"}}, "call_1", arguments, "key-1"},
                                source.token()));
  }
  template <class T>
  T run(Task<T> task) {
    auto future = boost::asio::co_spawn(loop, std::move(task), boost::asio::use_future);
    loop.restart();
    while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
      if (loop.run_one() == 0) throw std::runtime_error("the call never ends");
    return future.get();
  }

  /// A modern server whose calls are answered by `answer`.
  void modern(std::function<Answer(const Received&)> answer) {
    http.respond = [answer](const Received& request) -> Answer {
      if (request.method() == "server/discover") return {.body = result_text(request, "{}")};
      if (request.method() == "tools/list") return {.body = result_text(request, kTools)};
      return answer(request);
    };
  }
  /// A server of old. `answer` is asked for what is neither greeting nor list.
  void legacy(std::function<Answer(const Received&)> answer) {
    http.respond = [this, answer](const Received& request) -> Answer {
      if (request.method() == "initialize")
        return {.body = result_text(request, kLegacyHello),
                .session_id = "s" + std::to_string(++sessions)};
      if (request.field("mcp-session-id") == "-")
        return {.status = 400, .body = error_text(request, -32000, "not initialized")};
      if (request.method() == "notifications/initialized") return {.status = 202};
      if (request.method() == "tools/list") return {.body = result_text(request, kTools)};
      return answer(request);
    };
  }

  boost::asio::io_context loop;
  testing::FakeHttp http;
  async::CancelSource source;
  int sessions = 0;
  McpClient client{loop.get_executor(),
                   http,
                   {.label = "desk",
                    .url = "https://mcp.example/x?key=hush",
                    .authorization = "Bearer sesame",
                    .headers = {}}};
};

TEST_F(McpClientTest, SpeaksTheModernProtocolWhereItIsSpoken) {
  modern([](const Received& request) -> Answer { return {.body = result_text(request, kBooked)}; });
  auto tools = list();
  ASSERT_TRUE(tools) << tools.error().message;
  EXPECT_EQ(tools->at(0).name, "book");
  ToolResult result = call(R"({"seat": 1.50})");
  EXPECT_TRUE(result.success);
  EXPECT_EQ(result.output, "booked");
  EXPECT_THAT(http.methods(), ElementsAre("server/discover", "tools/list", "tools/call"));
  const Received& sent = http.received.back();
  EXPECT_EQ(sent.field("mcp-protocol-version"), "2026-07-28");
  EXPECT_EQ(sent.field("mcp-method"), "tools/call");
  EXPECT_EQ(sent.field("mcp-name"), "book");
  EXPECT_EQ(sent.field("accept"), "application/json, text/event-stream");
  EXPECT_EQ(sent.field("authorization"), "Bearer sesame");
  EXPECT_EQ(sent.field("mcp-session-id"), "-");
  EXPECT_THAT(sent.request.body, HasSubstr(R"("arguments":{"seat": 1.50})")) << "byte for byte";
  const json::object& meta = get_object(get_object(sent.body.get_object(), "params"), "_meta");
  EXPECT_EQ(get_string(meta, "io.modelcontextprotocol/protocolVersion"), "2026-07-28");
  EXPECT_EQ(get_string(meta, "perdure/idempotencyKey"), "key-1");
}

TEST_F(McpClientTest, GreetsAServerOfOld) {
  legacy([](const Received& request) -> Answer { return {.body = result_text(request, kBooked)}; });
  ASSERT_TRUE(list());
  EXPECT_TRUE(call().success);
  EXPECT_THAT(http.methods(), ElementsAre("server/discover", "initialize",
                                          "notifications/initialized", "tools/list", "tools/call"));
  const Received& sent = http.received.back();
  EXPECT_EQ(sent.field("mcp-session-id"), "s1");
  EXPECT_EQ(sent.field("mcp-protocol-version"), "2025-06-18");
  EXPECT_EQ(sent.field("mcp-method"), "-");
  EXPECT_THAT(sent.request.body, HasSubstr(R"("perdure/idempotencyKey":"key-1")"));
}

TEST_F(McpClientTest, MeetsAServerAnewThatHasForgottenTheSession) {
  for (int status : {404, 400}) {
    legacy([&](const Received& request) -> Answer {
      bool old = request.field("mcp-session-id") != "s" + std::to_string(sessions);
      if (old) return {.status = status, .body = error_text(request, -32000, "no session")};
      return {.body = result_text(request, kBooked)};
    });
    ASSERT_TRUE(call().success);
    ++sessions;  // it restarts
    EXPECT_TRUE(call().success) << status;
  }
}

TEST_F(McpClientTest, ASessionThatIsForgottenAgainAndAgainIsAnError) {
  legacy([&](const Received& request) -> Answer {
    return {.status = 404, .body = error_text(request, -32001, "no session")};
  });
  ToolResult result = call();
  EXPECT_FALSE(result.success);
  EXPECT_FALSE(result.unknown) << "it was refused both times";
  EXPECT_EQ(std::ranges::count(http.methods(), "tools/call"), 2);
}

TEST_F(McpClientTest, ReadsAnswersFromAStream) {
  modern([](const Received& request) -> Answer {
    return {.type = "text/event-stream",
            .body =
                "id: 1\ndata:\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
                "\"notifications/tools/list_changed\"}\n\ndata: " +
                result_text(request, kBooked) + "\n\n",
            .breaks_off = true};
  });
  ToolResult result = call();
  EXPECT_TRUE(result.success) << result.output;
  EXPECT_TRUE(result.tools_changed);
}

TEST_F(McpClientTest, FollowsTheListThroughItsPages) {
  http.respond = [](const Received& request) -> Answer {
    if (request.method() == "server/discover") return {.body = result_text(request, "{}")};
    if (request.request.body.find("\"cursor\":\"two\"") != std::string::npos)
      return {.body =
                  result_text(request, R"({"tools":[{"name":"b","inputSchema":{"type":"object"}},)"
                                       R"({"name":"a","inputSchema":{"type":"object"}}]})")};
    return {.body = result_text(
                request,
                R"({"tools":[{"name":"a","inputSchema":{"type":"object"}}],"nextCursor":"two"})")};
  };
  auto tools = list();
  ASSERT_TRUE(tools);
  ASSERT_EQ(tools->size(), 2u) << "a tool that is listed twice is one";
  EXPECT_EQ(tools->at(1).name, "b");
}

TEST_F(McpClientTest, AListWithoutAnEndIsRefused) {
  http.respond = [](const Received& request) -> Answer {
    if (request.method() == "server/discover") return {.body = result_text(request, "{}")};
    return {.body = result_text(request, R"({"tools":[],"nextCursor":"again"})")};
  };
  auto tools = list();
  ASSERT_FALSE(tools);
  EXPECT_EQ(tools.error().code, ErrorCode::kTooLarge);
  EXPECT_LE(http.received.size(), kMaxListPages + 1u);
}

TEST_F(McpClientTest, SaysWhetherAFailedCallMayHaveHappened) {
  struct Case {
    Answer answer;
    bool unknown;
    const char* says;
  };
  const Case cases[] = {
      {{.no_answer = ErrorCode::kUpstream, .reason = "not_sent"}, false, "cannot be reached"},
      {{.no_answer = ErrorCode::kUpstream}, true, "broke"},
      {{.no_answer = ErrorCode::kDeadlineExceeded}, true, "in time"},
      {{.body = "{\"jsonrpc\":\"2.0\",", .breaks_off = true}, true, "broke off"},
      {{.body = "<html>"}, true, "JSON"},
      {{.type = "text/event-stream", .body = ": nothing\n\n"}, true, "without a result"},
      {{.status = 502, .body = "bad gateway"}, true, "502"},
      {{.status = 401, .body = ""}, false, "credential"},
      {{.status = 429, .body = ""}, false, "429"},
      {{.status = 307, .body = ""}, false, "redirect"},
  };
  for (const Case& each : cases) {
    modern([&](const Received&) { return each.answer; });
    ToolResult result = call();
    EXPECT_FALSE(result.success);
    EXPECT_EQ(result.unknown, each.unknown) << result.output;
    EXPECT_THAT(result.output, HasSubstr(each.says));
    EXPECT_THAT(result.output, HasSubstr("'desk'"));
  }
  EXPECT_EQ(std::ranges::count(http.methods(), "tools/call"), std::ssize(cases))
      << "nothing is sent twice";
}

TEST_F(McpClientTest, AnErrorOfTheServerIsAnAnswer) {
  modern([](const Received& request) -> Answer {
    return {.body = error_text(request, -32602, "Unknown tool, and your token is sesame")};
  });
  ToolResult result = call();
  EXPECT_FALSE(result.success);
  EXPECT_FALSE(result.unknown);
  EXPECT_THAT(result.output, HasSubstr("Unknown tool"));
  EXPECT_THAT(result.output, Not(HasSubstr("sesame"))) << "no credential, whoever says it";
}

TEST_F(McpClientTest, ErrorsHoldNoUrl) {
  http.respond = [](const Received&) -> Answer {
    return {.no_answer = ErrorCode::kUpstream, .reason = "not_sent"};
  };
  auto tools = list();
  ASSERT_FALSE(tools);
  EXPECT_THAT(tools.error().message, Not(HasSubstr("hush")));
  EXPECT_EQ(http.received.size(), 1u) << "who cannot be reached is not asked in another language";
}

TEST_F(McpClientTest, AVersionThatNobodyKnowsIsAnError) {
  http.respond = [](const Received& request) -> Answer {
    if (request.method() == "initialize")
      return {.body = result_text(request, R"({"protocolVersion":"1999-01-01"})")};
    return {.status = 400};
  };
  auto tools = list();
  ASSERT_FALSE(tools);
  EXPECT_THAT(tools.error().message, HasSubstr("1999-01-01"));
  EXPECT_FALSE(call().unknown) << "a call that was never sent did not happen";
}

TEST_F(McpClientTest, ACancelledCallIsNotSent) {
  modern([](const Received& request) -> Answer { return {.body = result_text(request, kBooked)}; });
  source.cancel();
  EXPECT_FALSE(call().success);
  EXPECT_TRUE(http.received.empty());
}

}  // namespace
}  // namespace perdure::tools
