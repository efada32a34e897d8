#include "models/bedrock_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/raw_json.h"
#include "models/testing.h"

namespace perdure::models {
namespace {

using testing::call;
using ::testing::HasSubstr;
using testing::message;
using ::testing::Not;
using testing::user;

constexpr const char* kClaude = "us.anthropic.claude-opus-4-6-v1";
constexpr const char* kOldClaude = "anthropic.claude-sonnet-4-5-20250929-v1:0";
constexpr const char* kNova = "us.amazon.nova-2-lite-v1:0";
constexpr const char* kLlama = "meta.llama3-1-70b-instruct-v1:0";  // nothing is known of it
constexpr const char* kPoint = R"({"cachePoint":{"type":"default"}})";

ModelRequest asking(std::vector<ContextItem> context, const char* model = kLlama) {
  ModelRequest request;
  request.model = model;
  request.context = std::move(context);
  return request;
}

std::string body(const ModelRequest& request) {
  auto text = bedrock_request_body(request);
  EXPECT_TRUE(text) << text.error().message;
  if (!text) return "{}";
  EXPECT_TRUE(check_strict_json(*text)) << *text;
  return *text;
}

Error refusal(const ModelRequest& request) {
  auto text = bedrock_request_body(request);
  EXPECT_FALSE(text) << *text;
  return text ? Error{} : text.error();
}

std::string member(const std::string& object, std::string_view key) {
  return std::string(raw_member(object, key).value_or("absent"));
}

std::string messages(std::vector<ContextItem> context, const char* model = kLlama) {
  return member(body(asking(std::move(context), model)), "messages");
}

OutputItem thought(std::string raw, std::string_view provider = kBedrockConverse) {
  OutputItem item{.type = OutputType::kReasoning, .text = "hm"};
  item.raw = std::move(raw);
  item.raw_provider = provider;
  return item;
}

const std::string kSigned =
    R"({"reasoningContent":{"reasoningText":{"text":"h\u006d","signature":"c2ln"}}})";
const std::string kUnsigned = R"({"reasoningContent":{"reasoningText":{"text":"hm"}}})";
const std::string kRedacted = R"({"reasoningContent":{"redactedContent":"AAEC"}})";

TEST(BedrockRequest, EncodesTheModelInThePath) {
  EXPECT_EQ(bedrock_path("amazon.nova-pro-v1:0"), "model/amazon.nova-pro-v1%3A0/converse-stream");
  EXPECT_EQ(bedrock_path("arn:aws:bedrock:us-east-1:1:inference-profile/a_b~c"),
            "model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fa_b~c/"
            "converse-stream");
  EXPECT_EQ(bedrock_path("../x?y#z é"), "model/..%2Fx%3Fy%23z%20%C3%A9/converse-stream");
}

TEST(BedrockRequest, SaysAWholeConversation) {
  ModelRequest request =
      asking({user("weather?"), thought(kSigned), message("Let me look."),
              call("t1", "weather", R"({"n": 1.0})"), call("t2", "time", ""),
              FunctionOutput{"t1", "sunny"}, FunctionOutput{"t2", "no clock", false},
              message("Sunny."), user("thanks")},
             kClaude);
  request.instructions = "Be brief.";
  request.tools = {{"weather", "Tells it", R"({"type":"object"})"}, {"time", "", ""}};
  request.max_output_tokens = 900;
  EXPECT_EQ(
      body(request),
      R"({"toolConfig":{"tools":[{"toolSpec":{"name":"weather","description":"Tells it","inputSchema":{"json":{"type":"object"}}}},)"
      R"({"toolSpec":{"name":"time","inputSchema":{"json":{"type":"object","properties":{}}}}},{"cachePoint":{"type":"default"}}]},)"
      R"("system":[{"text":"Be brief."},{"cachePoint":{"type":"default"}}],)"
      R"("messages":[{"role":"user","content":[{"text":"weather?"}]},)"
      R"({"role":"assistant","content":[)" +
          kSigned +
          R"(,{"text":"Let me look."},{"toolUse":{"toolUseId":"t1","name":"weather","input":{"n": 1.0}}},)"
          R"({"toolUse":{"toolUseId":"t2","name":"time","input":{}}}]},)"
          R"({"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"text":"sunny"}],"status":"success"}},)"
          R"({"toolResult":{"toolUseId":"t2","content":[{"text":"no clock"}],"status":"error"}},{"cachePoint":{"type":"default"}}]},)"
          R"({"role":"assistant","content":[{"text":"Sunny."}]},)"
          R"({"role":"user","content":[{"text":"thanks"},{"cachePoint":{"type":"default"}}]}],)"
          R"("inferenceConfig":{"maxTokens":900}})");
}

TEST(BedrockRequest, BeginsWithTheBlocksOfTheRequestBefore) {
  std::vector<ContextItem> context = {user("one"), call("a", "f", "{}"), FunctionOutput{"a", "1"}};
  auto without_points = [](std::string text) {
    std::string point = std::string(",") + kPoint;
    for (std::size_t at; (at = text.find(point)) != std::string::npos;)
      text.erase(at, point.size());
    return text;
  };
  std::string before = without_points(messages(context, kClaude));
  context.insert(context.end(), {message("said"), user("two")});
  std::string after = without_points(messages(context, kClaude));
  before.pop_back();
  EXPECT_TRUE(after.starts_with(before)) << before << "\n" << after;
}

TEST(BedrockRequest, PutsResultsRightAfterTheirCalls) {
  EXPECT_EQ(
      messages({user("go"), call("a", "f", "{}"), call("b", "g", "{}"), user("and?"),
                FunctionOutput{"b", "2"}, FunctionOutput{"a", "1"}}),
      R"([{"role":"user","content":[{"text":"go"}]},)"
      R"({"role":"assistant","content":[{"toolUse":{"toolUseId":"a","name":"f","input":{}}},{"toolUse":{"toolUseId":"b","name":"g","input":{}}}]},)"
      R"({"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"1"}],"status":"success"}},)"
      R"({"toolResult":{"toolUseId":"b","content":[{"text":"2"}],"status":"success"}},{"text":"and?"}]}])");
}

TEST(BedrockRequest, AnswersEveryCallAndCallsForEveryAnswer) {
  std::string said = messages({FunctionOutput{"gone", "late"}, call("a", "f", "{}"), user("stop")});
  EXPECT_THAT(
      said,
      HasSubstr(R"([{"role":"user","content":[{"text":"The result of an earlier call: late"}]})"));
  EXPECT_THAT(
      said,
      HasSubstr(
          R"({"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"There is no result of this call."}],"status":"error"}},{"text":"stop"}]})"));
}

TEST(BedrockRequest, AlternatesAndBeginsWithTheUser) {
  EXPECT_EQ(messages({message("a"), message("b"), user("c"), user("d")}),
            R"j([{"role":"user","content":[{"text":"(The beginning is left out.)"}]},)j"
            R"j({"role":"assistant","content":[{"text":"a"},{"text":"b"}]},)j"
            R"j({"role":"user","content":[{"text":"c"},{"text":"d"}]}])j");
}

TEST(BedrockRequest, NeverSendsABlankText) {
  ModelRequest request =
      asking({user("go"), message(" \n"), call("a", "f", "{}"), FunctionOutput{"a", ""},
              message(""), user("\t"), UserMessage{{"", "x", " "}}});
  request.instructions = " \n";
  request.tools = {{"f", " ", ""}};
  std::string text = body(request);
  EXPECT_EQ(member(text, "system"), "absent");
  EXPECT_THAT(text, Not(HasSubstr("description")));
  EXPECT_EQ(
      member(text, "messages"),
      R"j([{"role":"user","content":[{"text":"go"}]},)j"
      R"j({"role":"assistant","content":[{"toolUse":{"toolUseId":"a","name":"f","input":{}}}]},)j"
      R"j({"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"(no output)"}],"status":"success"}},)j"
      R"j({"text":"(empty message)"},{"text":"x"}]}])j");
  EXPECT_EQ(refusal(asking({})).param, "input");
  EXPECT_EQ(refusal(asking({message("")})).param, "input");
}

TEST(BedrockRequest, SendsImagesAsBytes) {
  auto with = [](std::string url) {
    return asking({UserMessage{{"see", ContentPart::image(std::move(url))}}});
  };
  EXPECT_EQ(
      member(body(with("data:image/png;base64,iVBO+/8=")), "messages"),
      R"([{"role":"user","content":[{"text":"see"},{"image":{"format":"png","source":{"bytes":"iVBO+/8="}}}]}])");
  EXPECT_THAT(body(with("data:image/jpg;base64,AA==")), HasSubstr(R"("format":"jpeg")"));
  EXPECT_THAT(body(with("data:image/webp;base64,AA==")), HasSubstr(R"("format":"webp")"));
  for (const char* url : {"https://example.com/a.png", "data:image/bmp;base64,AA==",
                          "data:image/png,raw", "data:text/plain;base64,AA==", "data:"}) {
    Error error = refusal(with(url));
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(error.param, "image_url") << url;
  }
}

TEST(BedrockRequest, SendsReasoningBackOnlyWhereItIsUnderstood) {
  auto sent = [](const std::string& raw, const char* model, std::string_view by) {
    return messages({user("go"), thought(raw, by), message("said"), user("on")}, model)
        .contains(raw);
  };
  struct Case {
    std::string raw;
    const char* model;
    bool sent;
  };
  const Case cases[] = {
      {kSigned, kClaude, true},
      {kRedacted, kClaude, true},
      {kUnsigned, kClaude, false},
      {kUnsigned, kNova, true},
      {kSigned, kNova, false},
      {kUnsigned, "openai.gpt-oss-20b-1:0", true},
      {kSigned, "openai.gpt-oss-20b-1:0", false},
      {kSigned, "openai.gpt-5.6", true},
      {kSigned, kLlama, true},
      {kUnsigned, kLlama, true},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(sent(each.raw, each.model, kBedrockConverse), each.sent) << each.model << each.raw;
    EXPECT_FALSE(sent(each.raw, each.model, "openai-responses"));
  }
}

TEST(BedrockRequest, EndsNoMessageInReasoning) {
  EXPECT_EQ(messages({user("go"), thought(kUnsigned), user("still there?")}),
            R"([{"role":"user","content":[{"text":"go"},{"text":"still there?"}]}])");
  EXPECT_THAT(messages({user("go"), message("a"), thought(kUnsigned), user("b")}),
              Not(HasSubstr("reasoningContent")));
}

TEST(BedrockRequest, MapsIdsThatTheServiceRefuses) {
  auto id_of = [](const std::string& id, std::size_t nth = 0) {
    std::string said = messages({user("go"), call(id, "f", "{}"), FunctionOutput{id, "1"},
                                 call(id, "f", "{}"), FunctionOutput{id, "2"}});
    std::vector<std::string> uses, results;
    for_each_raw_element(said, [&](std::string_view message) {
      for_each_raw_element(*raw_member(message, "content"), [&](std::string_view block) {
        auto use = raw_member(block, "toolUse"), result = raw_member(block, "toolResult");
        if (use) uses.push_back(decode_json_string(*raw_member(*use, "toolUseId")));
        if (result) results.push_back(decode_json_string(*raw_member(*result, "toolUseId")));
      });
    });
    EXPECT_EQ(uses, results);
    EXPECT_EQ(uses.size(), 2u);
    EXPECT_NE(uses.at(0), uses.at(1)) << "an id may not be used twice";
    return uses.at(nth);
  };
  EXPECT_EQ(id_of("tooluse_aB-9"), "tooluse_aB-9");
  EXPECT_EQ(id_of(std::string(64, 'x')), std::string(64, 'x'));
  for (const std::string& bad : {std::string("call|1"), std::string("a.b"), std::string(),
                                 std::string(65, 'x'), std::string("é")}) {
    std::string mapped = id_of(bad);
    EXPECT_EQ(mapped.size(), 45u);
    EXPECT_TRUE(mapped.starts_with("call_"));
    EXPECT_EQ(mapped, id_of(bad)) << "the same every time";
  }
  EXPECT_NE(id_of("call|1"), id_of("call|2"));
}

TEST(BedrockRequest, ShowsTheModelArgumentsThatAreNoObject) {
  auto input = [](std::string arguments) {
    return messages({user("go"), call("a", "f", std::move(arguments)), FunctionOutput{"a", "1"}});
  };
  EXPECT_THAT(input(R"( {"a": 1e2} )"), HasSubstr(R"("input": {"a": 1e2} })"));
  EXPECT_THAT(input(R"({"cut":"in the mid)"),
              HasSubstr(R"("input":{"text":"{\"cut\":\"in the mid"})"));
  EXPECT_THAT(input("[1]"), HasSubstr(R"("input":{"text":"[1]"})"));
  EXPECT_THAT(input(R"({},"x":{})"), HasSubstr(R"("input":{"text":"{},\"x\":{}"})"));
}

TEST(BedrockRequest, ChoosesTools) {
  ModelRequest request = asking({user("go")});
  request.tools = {{"f", "", ""}};
  auto choice = [&](const char* word) {
    request.tool_choice = word;
    return member(member(body(request), "toolConfig"), "toolChoice");
  };
  EXPECT_EQ(choice(""), "absent");
  EXPECT_EQ(choice("auto"), R"({"auto":{}})");
  EXPECT_EQ(choice("required"), R"({"any":{}})");
  EXPECT_EQ(choice("f"), R"({"tool":{"name":"f"}})");
  request.tool_choice = "g";
  EXPECT_EQ(refusal(request).param, "tool_choice");
}

TEST(BedrockRequest, LeavesToolsOutWhereNoneMayBeCalledAndNoneWas) {
  ModelRequest request = asking({user("go")}, kClaude);
  request.tools = {{"f", "", ""}};
  request.tool_choice = "none";
  EXPECT_EQ(member(body(request), "toolConfig"), "absent");
  EXPECT_EQ(member(body(request), "additionalModelRequestFields"), "absent");

  // With a call in the conversation the service demands them.
  request.context = {user("go"), call("a", "f", "{}"), FunctionOutput{"a", "1"}};
  EXPECT_THAT(member(body(request), "toolConfig"), HasSubstr(R"("name":"f")"));
  EXPECT_EQ(member(body(request), "additionalModelRequestFields"),
            R"({"tool_choice":{"type":"none"}})");
  request.model = kNova;
  EXPECT_THAT(member(body(request), "toolConfig"), HasSubstr(R"("name":"f")"));
  EXPECT_EQ(member(body(request), "additionalModelRequestFields"), "absent");

  // Also when the agent has lost its tools since.
  request.tools.clear();
  request.tool_choice = "";
  EXPECT_THAT(member(body(request), "toolConfig"),
              HasSubstr(R"({"toolSpec":{"name":"f","description":"No longer offered)"));
}

TEST(BedrockRequest, ForbidsParallelCallsWhereThatCanBeSaid) {
  ModelRequest request = asking({user("go")}, kClaude);
  request.tools = {{"f", "", ""}};
  request.parallel_tool_calls = false;
  auto told = [&](const char* word) {
    request.tool_choice = word;
    std::string text = body(request);
    EXPECT_EQ(member(member(text, "toolConfig"), "toolChoice"), "absent") << "told in one place";
    return member(member(text, "additionalModelRequestFields"), "tool_choice");
  };
  EXPECT_EQ(told(""), R"({"type":"auto","disable_parallel_tool_use":true})");
  EXPECT_EQ(told("required"), R"({"type":"any","disable_parallel_tool_use":true})");
  EXPECT_EQ(told("f"), R"({"type":"tool","name":"f","disable_parallel_tool_use":true})");
  request.model = kNova;
  EXPECT_EQ(refusal(request).param, "parallel_tool_calls");
  request.tools.clear();
  request.tool_choice = "";
  EXPECT_TRUE(bedrock_request_body(request)) << "without tools there is nothing to forbid";
}

TEST(BedrockRequest, MarksTheCacheOnlyWhereTheFamilyTakesIt) {
  auto points = [](const char* model, std::vector<ContextItem> context) {
    ModelRequest request = asking(std::move(context), model);
    request.instructions = "Be.";
    request.tools = {{"f", "", ""}};
    std::string text = body(request), found;
    for (const char* part : {"toolConfig", "system", "messages"}) {
      std::string value = member(text, part);
      for (std::size_t at = 0; (at = value.find(kPoint, at)) != std::string::npos; ++at)
        found += part[0];
    }
    return found;
  };
  std::vector<ContextItem> plain = {user("a"), message("b"), user("c"), message("d"), user("e")};
  std::vector<ContextItem> after_call = {user("a"), call("t", "f", "{}"), FunctionOutput{"t", "1"}};
  EXPECT_EQ(points(kClaude, plain), "tsmm");
  EXPECT_EQ(points(kClaude, after_call), "tsmm");
  EXPECT_EQ(points(kNova, plain), "smm");
  EXPECT_EQ(points(kNova, after_call), "sm") << "Nova refuses one straight after a result";
  EXPECT_EQ(points(kLlama, plain), "");
  EXPECT_EQ(points("anthropic.claude-3-haiku-20240307-v1:0", plain), "");
}

TEST(BedrockRequest, TellsTheReasoningEffortInTheModelsWords) {
  struct Case {
    const char* model;
    const char* effort;
    const char* additional;
    const char* output;
  };
  const Case cases[] = {
      {kClaude, "high", R"({"thinking":{"type":"adaptive"}})", R"({"effort":"high"})"},
      {kClaude, "max", R"({"thinking":{"type":"adaptive"}})", R"({"effort":"max"})"},
      {kClaude, "none", "absent", "absent"},
      {kOldClaude, "low", R"({"thinking":{"type":"enabled","budget_tokens":2048}})", "absent"},
      {kOldClaude, "high", R"({"thinking":{"type":"enabled","budget_tokens":16384}})", "absent"},
      {kOldClaude, "none", "absent", "absent"},
      {kNova, "medium", R"({"reasoningConfig":{"type":"enabled","maxReasoningEffort":"medium"}})",
       "absent"},
      {kNova, "none", R"({"reasoningConfig":{"type":"disabled"}})", "absent"},
      {"amazon.nova-pro-v1:0", "none", "absent", "absent"},
      {"openai.gpt-oss-20b-1:0", "low", R"({"reasoning_effort":"low"})", "absent"},
      {"openai.gpt-5.6", "xhigh", R"({"reasoning":{"effort":"xhigh"}})", "absent"},
  };
  for (const Case& each : cases) {
    ModelRequest request = asking({user("go")}, each.model);
    request.reasoning_effort = each.effort;
    EXPECT_EQ(member(body(request), "additionalModelRequestFields"), each.additional);
    EXPECT_EQ(member(body(request), "outputConfig"), each.output);
  }
}

TEST(BedrockRequest, RefusesAReasoningEffortItHasNoWordsFor) {
  struct Case {
    const char* model;
    const char* effort;
    const char* says;
  };
  const Case cases[] = {
      {kClaude, "minimal", "none, low, medium, high, xhigh, max"},
      {"anthropic.claude-opus-5", "none", "low, medium"},
      {kOldClaude, "xhigh", "none, low, medium, high"},
      {"amazon.nova-pro-v1:0", "low", "only: none"},
      {"openai.gpt-oss-20b-1:0", "none", "low, medium, high"},
      {kLlama, "low", "does not say what kind of model"},
  };
  for (const Case& each : cases) {
    ModelRequest request = asking({user("go")}, each.model);
    request.reasoning_effort = each.effort;
    Error error = refusal(request);
    EXPECT_EQ(error.param, "reasoning.effort");
    EXPECT_THAT(error.message, HasSubstr(each.model));
    EXPECT_THAT(error.message, HasSubstr(each.says));
  }
}

TEST(BedrockRequest, KeepsThinkingWithinTheAnswersTokens) {
  ModelRequest request = asking({user("go")}, kOldClaude);
  request.reasoning_effort = "high";
  request.max_output_tokens = 6000;
  EXPECT_THAT(body(request), HasSubstr(R"("budget_tokens":3000)"));
  request.max_output_tokens = 2047;
  EXPECT_EQ(refusal(request).param, "max_output_tokens");
  request.model = kNova;
  request.max_output_tokens = 100'000;
  EXPECT_EQ(refusal(request).param, "max_output_tokens");
  request.reasoning_effort = "medium";
  EXPECT_TRUE(bedrock_request_body(request));
}

TEST(BedrockRequest, TellsTheSchemaOfTheAnswerAsAString) {
  ModelRequest request = asking({user("go")}, kClaude);
  request.text_format = R"({"type":"object","title":"\"x\""})";
  request.reasoning_effort = "low";
  EXPECT_EQ(
      member(body(request), "outputConfig"),
      R"({"effort":"low","textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\",\"title\":\"\\\"x\\\"\"}","name":"answer"}}}})");
  request.text_format = "{";
  EXPECT_EQ(refusal(request).param, "text.format");
}

TEST(BedrockRequest, AsksForAServiceTierThatThereIs) {
  ModelRequest request = asking({user("go")});
  EXPECT_EQ(member(body(request), "serviceTier"), "absent");
  for (const char* tier : {"flex", "priority", "default", "reserved"}) {
    request.service_tier = tier;
    EXPECT_EQ(member(body(request), "serviceTier"), std::string(R"({"type":")") + tier + R"("})");
  }
  request.service_tier = "scale";
  EXPECT_EQ(refusal(request).param, "service_tier");
}

TEST(BedrockRequest, IsNotBrokenByRawTextInIt) {
  ModelRequest request = asking({user("go")});
  request.tools = {{"f", "", R"({}},"x":{)"}};
  EXPECT_EQ(refusal(request).param, "tools");
}

}  // namespace
}  // namespace perdure::models
