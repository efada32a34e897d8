#include "models/anthropic_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/raw_json.h"
#include "models/anthropic_names.h"
#include "models/limits.h"
#include "models/testing.h"

namespace perdure::models {
namespace {

using testing::call;
using ::testing::HasSubstr;
using testing::message;
using testing::user;

std::string body(const ModelRequest& request) {
  auto text = anthropic_request_body(request);
  EXPECT_TRUE(text) << text.error().message;
  EXPECT_TRUE(check_strict_json(*text)) << *text;
  EXPECT_EQ(*text, *anthropic_request_body(request)) << "equal conversations give equal bytes";
  return *text;
}

std::string member(const std::string& object, std::string_view key) {
  return std::string(raw_member(object, key).value_or("absent"));
}

/// The messages without their marks, so that a case reads as a conversation.
std::string messages(std::vector<ContextItem> context) {
  ModelRequest request;
  request.context = std::move(context);
  std::string text = member(body(request), "messages");
  static constexpr std::string_view kMark = R"(,"cache_control":{"type":"ephemeral"})";
  for (std::size_t at; (at = text.find(kMark)) != std::string::npos;) text.erase(at, kMark.size());
  return text;
}

OutputItem raw(OutputItem item, std::string bytes, std::string_view provider = kAnthropicMessages) {
  item.raw = std::move(bytes);
  item.raw_provider = provider;
  return item;
}

OutputItem reasoning(std::string bytes, std::string_view provider = kAnthropicMessages) {
  return raw({.type = OutputType::kReasoning}, std::move(bytes), provider);
}

const std::string kThought = R"({"type":"thinking","thinking":"h\u006dm","signature":"Eq\/+=="})";
const std::string kRedacted = R"({"type":"redacted_thinking", "data":"Em\u0041="})";

TEST(AnthropicRequest, SendsThinkingBackAsTheBytesThatCame) {
  EXPECT_EQ(messages({user("go"), reasoning(kThought), message("I look."), reasoning(kRedacted),
                      call("toolu_1", "a", R"({"n": 1.0})"), FunctionOutput{"toolu_1", "done"}}),
            R"([{"role":"user","content":[{"type":"text","text":"go"}]},)"
            R"({"role":"assistant","content":[)" +
                kThought + R"(,{"type":"text","text":"I look."},)" + kRedacted +
                R"(,{"type":"tool_use","id":"toolu_1","name":"a","input":{"n": 1.0}}]},)"
                R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1",)"
                R"("content":"done"}]}])");
}

TEST(AnthropicRequest, LeavesOutThinkingOfOthersAndAtTheEnd) {
  EXPECT_EQ(messages({user("go"), reasoning(R"({"id":"rs_1"})", "openai-responses"),
                      OutputItem{.type = OutputType::kReasoning, .text = "unsigned"},
                      raw(message("two"), R"({"foreign":1})", "openai-responses"),
                      reasoning(kThought), user("on"), reasoning(kThought), user("and on")}),
            R"([{"role":"user","content":[{"type":"text","text":"go"}]},)"
            R"({"role":"assistant","content":[{"type":"text","text":"two"}]},)"
            R"({"role":"user","content":[{"type":"text","text":"on"},)"
            R"({"type":"text","text":"and on"}]}])");
}

TEST(AnthropicRequest, AlternatesAndPutsResultsFirst) {
  EXPECT_EQ(
      messages({user("a"), user("b"), call("c1", "f", "{}"), message("meanwhile"),
                call("c2", "g", "{}"), user("hurry"), FunctionOutput{"c2", "two"},
                FunctionOutput{"c1", "it broke", false}, message("done"), message("really")}),
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},)"
      R"({"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}},)"
      R"({"type":"text","text":"meanwhile"},{"type":"tool_use","id":"c2","name":"g","input":{}}]},)"
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"it broke",)"
      R"("is_error":true},{"type":"tool_result","tool_use_id":"c2","content":"two"},)"
      R"({"type":"text","text":"hurry"}]},)"
      R"({"role":"assistant","content":[{"type":"text","text":"done"},)"
      R"({"type":"text","text":"really"}]}])");
}

TEST(AnthropicRequest, AnswersEveryCallAndKeepsResultsOfNone) {
  EXPECT_EQ(
      messages({call("c1", "f", "{}"), FunctionOutput{"c9", "lost and found"}}),
      R"([{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},)"
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"c1",)"
      R"("content":"The call was not answered.","is_error":true},)"
      R"({"type":"text","text":"lost and found"}]}])");
}

TEST(AnthropicRequest, NeverSendsBlankText) {
  EXPECT_EQ(
      messages({UserMessage{{"", "hi", " \n"}}, message(""), message(" "), call("c1", "f", ""),
                FunctionOutput{"c1", ""}, call("c2", "f", "{}"), FunctionOutput{"c2", " ", false},
                message("")}),
      R"([{"role":"user","content":[{"type":"text","text":"hi"}]},)"
      R"({"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}}]},)"
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"c1"}]},)"
      R"({"role":"assistant","content":[{"type":"tool_use","id":"c2","name":"f","input":{}}]},)"
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"c2",)"
      R"("content":"The call failed.","is_error":true}]}])");
  ModelRequest request;
  request.instructions = " \n";
  EXPECT_EQ(member(body(request), "system"), "absent");
}

TEST(AnthropicRequest, MapsIdsAndNamesThatTheApiRefuses) {
  std::string odd = messages(
      {call("functions.read:0", "files.read", "{}"), FunctionOutput{"functions.read:0", "one"}});
  std::string id = anthropic_call_id("functions.read:0", 0);
  EXPECT_THAT(id, ::testing::MatchesRegex("[a-zA-Z0-9_-]+"));
  EXPECT_THAT(odd, HasSubstr(R"({"type":"tool_use","id":")" + id + R"(","name":")" +
                             anthropic_tool_name("files.read") + '"'));
  EXPECT_THAT(odd, HasSubstr(R"("tool_use_id":")" + id + R"(","content":"one")"));

  // Another answer may use the same id again; the API wants them all different.
  std::string twice = messages({call("c", "f", "{}"), FunctionOutput{"c", "one"},
                                call("c", "f", "{}"), FunctionOutput{"c", "two"}});
  EXPECT_THAT(twice, HasSubstr(R"("tool_use_id":"c","content":"one")"));
  EXPECT_THAT(twice,
              HasSubstr(R"("tool_use_id":")" + anthropic_call_id("c", 1) + R"(","content":"two")"));
  EXPECT_NE(anthropic_call_id("c", 1), anthropic_call_id("c", 2));
}

TEST(AnthropicNames, RenamesToolsAndFindsThemAgain) {
  EXPECT_EQ(anthropic_tool_name("get-weather_2"), "get-weather_2");
  std::string long_name(400, 'x');
  AnthropicToolNames names({{"files.read", "", ""}, {"files_read", "", ""}, {long_name, "", ""}});
  for (const std::string& name :
       {std::string("files.read"), std::string("files_read"), long_name, std::string("Füße")}) {
    std::string sent = anthropic_tool_name(name);
    EXPECT_THAT(sent, ::testing::MatchesRegex("[a-zA-Z0-9_-]+"));
    EXPECT_LE(sent.size(), kMaxAnthropicToolName);
    if (name != "Füße") {
      EXPECT_EQ(names.original(sent), name);
    }
  }
  EXPECT_EQ(names.original("never_offered"), "never_offered");
}

TEST(AnthropicRequest, WrapsArgumentsThatAreNoObject) {
  for (const char* arguments : {R"({"a":1)", "[1]", R"({"a":1,"a":2})", "rm -rf"}) {
    std::string text = messages({call("c", "f", arguments), FunctionOutput{"c", "no"}});
    std::string input = member(
        std::string(*RawArrayReader(*raw_member(*RawArrayReader(text).next(), "content")).next()),
        "input");
    EXPECT_EQ(decode_json_string(member(input, "arguments")), arguments);
  }
}

TEST(AnthropicRequest, SendsImagesOfBothKinds) {
  EXPECT_EQ(
      messages({UserMessage{{ContentPart::image("data:image/png;base64,iVBOR=="), "what is this?",
                             ContentPart::image("https://example.com/a.jpg")}}}),
      R"([{"role":"user","content":[{"type":"image","source":{"type":"base64",)"
      R"("media_type":"image/png","data":"iVBOR=="}},{"type":"text","text":"what is this?"},)"
      R"({"type":"image","source":{"type":"url","url":"https://example.com/a.jpg"}}]}])");
  ModelRequest request;
  request.context = {UserMessage{{ContentPart::image("ftp://example.com/a.jpg")}}};
  auto refused = anthropic_request_body(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST(AnthropicRequest, MarksWhatMayBeCached) {
  ModelRequest request;
  request.instructions = "Be kind.";
  request.tools = {{"a", "", ""}, {"b", "", ""}};
  request.context = {user("1"), message("one"), user("2"), message("two"), user("3")};
  std::string text = body(request);
  EXPECT_EQ(member(text, "system"),
            R"([{"type":"text","text":"Be kind.","cache_control":{"type":"ephemeral"}}])");
  EXPECT_EQ(member(text, "tools"),
            R"([{"name":"a","input_schema":{"type":"object","properties":{}}},)"
            R"({"name":"b","input_schema":{"type":"object","properties":{}},)"
            R"("cache_control":{"type":"ephemeral"}}])");
  EXPECT_EQ(member(text, "messages"),
            R"([{"role":"user","content":[{"type":"text","text":"1"}]},)"
            R"({"role":"assistant","content":[{"type":"text","text":"one"}]},)"
            R"({"role":"user","content":[{"type":"text","text":"2",)"
            R"("cache_control":{"type":"ephemeral"}}]},)"
            R"({"role":"assistant","content":[{"type":"text","text":"two"}]},)"
            R"({"role":"user","content":[{"type":"text","text":"3",)"
            R"("cache_control":{"type":"ephemeral"}}]}])");
}

TEST(AnthropicRequest, MarksForAnHourWhereALifetimeIsAskedFor) {
  ModelRequest request;
  request.instructions = "Be kind.";
  request.tools = {{"a", "", ""}};
  request.context = {user("1")};
  request.cache_ttl = "30m";
  const std::string text = body(request);
  constexpr std::string_view kHour = R"("cache_control":{"type":"ephemeral","ttl":"1h"})";
  for (std::string_view key : {"system", "tools", "messages"})
    EXPECT_NE(member(text, key).find(kHour), std::string::npos) << key;
  EXPECT_EQ(text.find(R"({"type":"ephemeral"})"), std::string::npos) << "all marks are alike";
}

TEST(AnthropicRequest, ALongerConversationBeginsWithTheShorter) {
  std::vector<ContextItem> context = {user("1"), reasoning(kThought), call("c", "f", "{}"),
                                      FunctionOutput{"c", "one"}};
  std::string before = messages(context);
  context.emplace_back(reasoning(kThought));
  context.emplace_back(message("done"));
  context.emplace_back(user("2"));
  before.pop_back();
  EXPECT_TRUE(messages(context).starts_with(before));
}

TEST(AnthropicRequest, SaysEveryOption) {
  ModelRequest request;
  request.model = "claude-opus-5";
  request.tools = {{"a", "Does a", R"({"properties":{"x":{}}})"}};
  request.text_format = R"({"type":"object"})";
  request.reasoning_effort = "xhigh";
  request.reasoning_summary = "concise";
  request.max_output_tokens = 77;
  std::string text = body(request);
  EXPECT_EQ(member(text, "model"), R"("claude-opus-5")");
  EXPECT_EQ(member(text, "max_tokens"), "77");
  EXPECT_EQ(member(text, "stream"), "true");
  EXPECT_THAT(text, HasSubstr(R"({"name":"a","description":"Does a",)"
                              R"("input_schema":{"type":"object","properties":{"x":{}}},)"));
  EXPECT_EQ(member(text, "thinking"), R"({"type":"adaptive","display":"summarized"})");
  EXPECT_EQ(member(text, "output_config"),
            R"({"effort":"xhigh","format":{"type":"json_schema","schema":{"type":"object"}}})");
  EXPECT_EQ(member(body({}), "max_tokens"), std::to_string(kDefaultAnthropicMaxTokens));
}

TEST(AnthropicRequest, ChoosesTools) {
  struct Case {
    const char* choice;
    bool parallel;
    const char* said;
  };
  const Case cases[] = {
      {"", true, "absent"},
      {"", false, R"({"type":"auto","disable_parallel_tool_use":true})"},
      {"auto", true, R"({"type":"auto"})"},
      {"none", false, R"({"type":"none"})"},
      {"required", true, R"({"type":"any"})"},
      {"files.read", false, nullptr},
  };
  for (const Case& c : cases) {
    ModelRequest request;
    request.tools = {{"files.read", "", ""}};
    request.tool_choice = c.choice;
    request.parallel_tool_calls = c.parallel;
    std::string said = c.said ? c.said
                              : R"({"type":"tool","name":")" + anthropic_tool_name("files.read") +
                                    R"(","disable_parallel_tool_use":true})";
    EXPECT_EQ(member(body(request), "tool_choice"), said) << c.choice;
  }
}

TEST(AnthropicNames, KnowsHowAModelIsAskedToThink) {
  for (const char* model :
       {"claude-opus-4-6", "claude-sonnet-5", "claude-opus-5-5", "claude-fable-5-1",
        "claude-mythos-preview", "anthropic/claude-opus-4.8", "anthropic.claude-opus-4-6-v1",
        "claude-haiku-5-5-20261001", "glm-4.6", ""})
    EXPECT_EQ(anthropic_thinking(model), AnthropicThinking::kAdaptive) << model;
  for (const char* model :
       {"claude-sonnet-4-5-20250929", "claude-haiku-4-5", "claude-sonnet-4-20250514",
        "claude-opus-4", "claude-3-7-sonnet-20250219", "claude-3-haiku@20240307",
        "anthropic/claude-sonnet-4.5", "us.anthropic.claude-opus-4-1-20250805-v1:0"})
    EXPECT_EQ(anthropic_thinking(model), AnthropicThinking::kBudget) << model;
}

TEST(AnthropicRequest, AsksModelsToThinkInTheirWords) {
  struct Case {
    const char* model;
    const char* effort;
    const char* summary;
    bool forced;
    std::int64_t max_tokens;
    const char* thinking;
    const char* output_config;
  };
  const char* none = "absent";
  const char* off = R"({"type":"disabled"})";
  const char* adaptive = R"({"type":"adaptive"})";
  const Case cases[] = {
      {"claude-opus-5", "", "", false, 0, none, none},
      {"claude-opus-5", "none", "", false, 0, off, none},
      {"claude-opus-5", "minimal", "", false, 0, adaptive, R"({"effort":"low"})"},
      {"claude-opus-5", "max", "", false, 0, adaptive, R"({"effort":"max"})"},
      {"claude-opus-5", "", "auto", false, 0, R"({"type":"adaptive","display":"summarized"})",
       none},
      {"claude-opus-5", "max", "auto", true, 0, off, none},
      {"claude-opus-5", "", "", true, 0, off, none},
      {"claude-haiku-4-5", "", "", false, 0, none, none},
      {"claude-haiku-4-5", "none", "auto", false, 0, none, none},
      {"claude-haiku-4-5", "low", "", false, 0, R"({"type":"enabled","budget_tokens":4096})", none},
      {"claude-haiku-4-5", "", "auto", false, 0, R"({"type":"enabled","budget_tokens":8192})",
       none},
      {"claude-haiku-4-5", "max", "", false, 5000, R"({"type":"enabled","budget_tokens":3976})",
       none},
      {"claude-haiku-4-5", "low", "", false, 2000, none, none},
      {"claude-haiku-4-5", "low", "", true, 0, none, none},
  };
  for (const Case& c : cases) {
    ModelRequest request;
    request.model = c.model;
    request.reasoning_effort = c.effort;
    request.reasoning_summary = c.summary;
    request.max_output_tokens = c.max_tokens;
    request.tools = {{"a", "", ""}};
    if (c.forced) request.tool_choice = "a";
    std::string text = body(request);
    EXPECT_EQ(member(text, "thinking"), c.thinking) << c.model << " " << c.effort;
    EXPECT_EQ(member(text, "output_config"), c.output_config) << c.model << " " << c.effort;
  }
}

TEST(AnthropicRequest, AModelWithABudgetDoesNotThinkOnAfterACallWithoutThinking) {
  ModelRequest request;
  request.model = "claude-haiku-4-5";
  request.reasoning_effort = "low";
  request.context = {user("go"), call("c", "f", "{}"), FunctionOutput{"c", "one"}};
  EXPECT_EQ(member(body(request), "thinking"), "absent");
  request.context.insert(request.context.begin() + 1, reasoning(kThought));
  EXPECT_THAT(member(body(request), "thinking"), HasSubstr("enabled"));
  request.context = {user("go"), message("hi"), user("on")};
  EXPECT_THAT(member(body(request), "thinking"), HasSubstr("enabled"));
}

TEST(AnthropicRequest, RefusesWhatCannotBeSaid) {
  ModelRequest request;
  request.tools = {{"a", "", "{"}};
  EXPECT_FALSE(anthropic_request_body(request));
  request.tools = {};
  request.tool_choice = "nobody";
  EXPECT_FALSE(anthropic_request_body(request));
}

}  // namespace
}  // namespace perdure::models
