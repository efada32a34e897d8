#include "models/scripted.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "models/failure.h"
#include "models/testing.h"

namespace perdure::models {
namespace {

using testing::Answer;
using testing::call;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message;
using testing::RecordingSink;
using testing::user;

class Scripted : public ::testing::Test {
 protected:
  void play(std::string_view script) {
    auto parsed = parse_script(script);
    ASSERT_TRUE(parsed) << parsed.error().message;
    provider = make_scripted("script", std::move(*parsed));
  }

  std::future<Answer> begin(ModelRequest request) {
    sink = {};
    return boost::asio::co_spawn(context,
                                 provider->generate(std::move(request), &sink, source.token()),
                                 boost::asio::use_future);
  }
  void run() {
    context.restart();
    context.run_for(std::chrono::seconds(20));
  }
  Answer ask(ModelRequest request) {
    auto answer = begin(std::move(request));
    run();
    EXPECT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    return answer.get();
  }
  Answer ask(std::string text, std::string session = "s") {
    ModelRequest request;
    request.context = {user(std::move(text))};
    request.cache_key = std::move(session);
    return ask(std::move(request));
  }
  std::string text_of(const Answer& answer) {
    return answer && !answer->items.empty() ? answer->items.front().text : "(none)";
  }

  boost::asio::io_context context;
  async::CancelSource source;
  RecordingSink sink;
  std::unique_ptr<Provider> provider = make_scripted("demo");
};

ModelRequest with_tool(std::string text) {
  ModelRequest request;
  request.context = {user(std::move(text))};
  request.tools = {{"get_weather", "", ""}, {"book", "", ""}};
  return request;
}

TEST_F(Scripted, DemoSaysWhatItIsAndRepeatsTheUser) {
  Answer answer = ask("Guten Tag, Öre!");
  ASSERT_TRUE(answer);
  EXPECT_THAT(text_of(answer), HasSubstr("scripted demo model"));
  EXPECT_THAT(text_of(answer), HasSubstr("Guten Tag, Öre!"));
  EXPECT_EQ(sink.text(), text_of(answer));
  EXPECT_GT(sink.deltas.size(), 5u) << "it streams word by word";
  EXPECT_TRUE(answer->usage_known);
  EXPECT_GT(answer->usage.output_tokens, 0);
}

TEST_F(Scripted, DemoIsTheSameEveryTime) {
  RecordingSink first_sink;
  Answer first = ask("hello");
  first_sink = sink;
  Answer second = ask("hello");
  EXPECT_EQ(testing::describe(first, first_sink), testing::describe(second, sink));
}

TEST_F(Scripted, DemoRemembersWhatWasSaidFirst) {
  ModelRequest request;
  request.context = {user("My dog is Rex."), message("Noted."), user("What did I say first?")};
  EXPECT_THAT(text_of(ask(request)), HasSubstr("My dog is Rex."));
}

TEST_F(Scripted, DemoCallsAToolOnlyWhenAskedTo) {
  Answer answer = ask(with_tool(R"(Please call get_weather {"city": "a}\"b", "n": 1.0} now)"));
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->items.size(), 1u);
  EXPECT_EQ(answer->items[0].name, "get_weather");
  EXPECT_EQ(answer->items[0].arguments, R"({"city": "a}\"b", "n": 1.0})");
  EXPECT_EQ(answer->finish, Finish::kToolCalls);

  for (const char* text :
       {"the weather is fine", "what time is it?", "call nobody {}", "recall book {}"})
    EXPECT_EQ(ask(with_tool(text))->items.at(0).type, OutputType::kMessage) << text;
  EXPECT_EQ(ask(with_tool("What is the weather like in Lisbon?"))->items.at(0).name, "get_weather");
  EXPECT_EQ(ask(with_tool("Call book."))->items.at(0).arguments, "{}");
}

TEST_F(Scripted, DemoCallsSeveralToolsWithNamesOfTheirOwn) {
  ModelRequest request = with_tool(R"(call book {"n":1} and call book {"n":2})");
  Answer both = ask(request);
  ASSERT_EQ(both->items.size(), 2u);
  EXPECT_NE(both->items[0].call_id, both->items[1].call_id);
  request.parallel_tool_calls = false;
  EXPECT_EQ(ask(request)->items.size(), 1u);
}

TEST_F(Scripted, DemoHonoursTheToolChoice) {
  ModelRequest request = with_tool("hello");
  request.tool_choice = "book";
  EXPECT_EQ(ask(request)->items.at(0).name, "book");
  request.tool_choice = "required";
  EXPECT_EQ(ask(request)->items.at(0).name, "get_weather");
  request = with_tool("call book {}");
  request.tool_choice = "none";
  EXPECT_EQ(ask(request)->items.at(0).type, OutputType::kMessage);
}

TEST_F(Scripted, DemoReportsResultsAndNeverCallsForEver) {
  ModelRequest request = with_tool("call book {}");
  request.tool_choice = "required";
  request.context.push_back(call("c1", "book", "{}"));
  request.context.push_back(call("c2", "get_weather", "{}"));
  request.context.push_back(FunctionOutput{"c1", "booked; call book {}"});
  request.context.push_back(FunctionOutput{"c2", "no sun", false});
  Answer answer = ask(request);
  ASSERT_EQ(answer->items.size(), 1u);
  EXPECT_THAT(text_of(answer), HasSubstr("book answered: booked"));
  EXPECT_THAT(text_of(answer), HasSubstr("get_weather failed: no sun"));
  EXPECT_THAT(text_of(answer), HasSubstr("scripted demo model"));
}

TEST_F(Scripted, PlaysItsStepsInOrderAndThenTheRest) {
  play(R"({"steps":[{"text":"one"},{"text":"two","times":2}],"otherwise":{"text":"rest"}})");
  for (const char* expected : {"one", "two", "two", "rest", "rest"})
    EXPECT_EQ(text_of(ask("x")), expected);
}

TEST_F(Scripted, EverySessionPlaysItsOwnScript) {
  play(R"({"steps":[{"text":"one"},{"text":"two"}]})");
  EXPECT_EQ(text_of(ask("x", "a")), "one");
  EXPECT_EQ(text_of(ask("x", "b")), "one");
  EXPECT_EQ(text_of(ask("x", "a")), "two");
  play(R"({"scope":"process","steps":[{"text":"one"},{"text":"two"}]})");
  EXPECT_EQ(text_of(ask("x", "a")), "one");
  EXPECT_EQ(text_of(ask("x", "b")), "two");
}

TEST_F(Scripted, PicksAStepByWhatTheInputSays) {
  play(R"({"steps":[{"when":"weather","times":0,"text":"sun"},{"when":"bye","text":"bye"}]})");
  EXPECT_EQ(text_of(ask("bye then")), "bye");
  EXPECT_EQ(text_of(ask("the weather?")), "sun");
  EXPECT_EQ(text_of(ask("weather again")), "sun");
  EXPECT_THAT(text_of(ask("else")), HasSubstr("scripted demo model"));
}

TEST_F(Scripted, MatchesTheLastToolResultToo) {
  play(R"({"steps":[{"when":"booked","text":"Your flight is booked."}]})");
  ModelRequest request;
  request.context = {user("go"), call("c", "book", "{}"), FunctionOutput{"c", "booked 42"}};
  EXPECT_EQ(text_of(ask(request)), "Your flight is booked.");
}

TEST_F(Scripted, GivesEverythingAStepSays) {
  play(R"({"model":"actor","steps":[{"reasoning":"Hm.","chunks":["Let ","me ","{{input}}"],
      "tool_calls":[{"name":"a","arguments":{"q":"{{input}}"}},{"name":"b","arguments":"not json","id":"mine"}],
      "usage":{"input_tokens":10,"cached_tokens":4,"output_tokens":3,"reasoning_tokens":1}}]})");
  Answer answer = ask("\"x\"");
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->items.size(), 4u);
  EXPECT_EQ(answer->items[0].type, OutputType::kReasoning);
  EXPECT_THAT(sink.messages, ElementsAre(1));
  EXPECT_THAT(sink.deltas, ElementsAre("Let ", "me ", "\"x\""));
  EXPECT_EQ(answer->items[2].arguments, R"({"q":"\"x\""})");
  EXPECT_EQ(answer->items[3].arguments, "not json");
  EXPECT_EQ(answer->items[3].call_id, "mine");
  EXPECT_EQ(answer->usage, (TokenUsage{10, 4, 3, 1}));
  EXPECT_EQ(answer->finish, Finish::kToolCalls);
  EXPECT_EQ(answer->model, "actor");
}

TEST_F(Scripted, FailsWhenTheScriptSaysSo) {
  play(R"({"steps":[{"text":"a b c","after_chunks":2,
      "fail":{"code":"rate_limit_exceeded","retryable":true,"retry_after_ms":5}},{"text":"ok"}]})");
  Answer failed = ask("x");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, "rate_limit_exceeded");
  EXPECT_TRUE(failed.error().retryable);
  EXPECT_EQ(failed.error().retry_after_ms, 5);
  EXPECT_TRUE(failed.error().usage_known);
  EXPECT_THAT(sink.deltas, ElementsAre("a ", "b "));
  EXPECT_EQ(text_of(ask("x")), "ok");
}

TEST_F(Scripted, HangsUntilItIsCancelled) {
  play(R"({"steps":[{"text":"a b c","after_chunks":1,"hang":true}]})");
  auto answer = begin({});
  context.restart();
  while (sink.deltas.empty()) context.run_one();
  source.cancel();
  run();
  ASSERT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(answer.get().error().code, kCancelledCode);
  EXPECT_THAT(sink.deltas, ElementsAre("a "));
}

TEST_F(Scripted, ACancelEndsALongPause) {
  play(R"({"steps":[{"text":"a b","delay_ms":3600000}]})");
  auto answer = begin({});
  context.restart();
  context.poll();
  source.cancel();
  run();
  ASSERT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(answer.get().error().code, kCancelledCode);
  EXPECT_TRUE(sink.deltas.empty());
}

TEST_F(Scripted, TakesItsTimeBetweenPieces) {
  play(R"({"steps":[{"text":"a b","delay_ms":1}]})");
  EXPECT_EQ(text_of(ask("x")), "a b");
  EXPECT_THAT(sink.deltas, ElementsAre("a ", "b"));
}

TEST(Script, NamesThePlaceOfAMistake) {
  struct Case {
    const char* script;
    const char* place;
  };
  for (const Case& c : {
           Case{R"({"steps":[{"txt":"x"}]})", "steps[0].txt"},
           Case{R"({"steps":[{},{"delay_ms":"5"}]})", "steps[1].delay_ms"},
           Case{R"({"steps":[{"delay_ms":-5}]})", "steps[0].delay_ms"},
           Case{R"({"steps":[{"tool_calls":[{"arguments":{}}]}]})", "steps[0].tool_calls[0].name"},
           Case{R"({"steps":[{"finish":"end"}]})", "steps[0].finish"},
           Case{R"({"steps":[{"text":"a","chunks":["b"]}]})", "steps[0].chunks"},
           Case{R"({"steps":[{"fail":{"kode":"x"}}]})", "steps[0].fail.kode"},
           Case{R"({"otherwise":[]})", "otherwise"},
           Case{R"({"scope":"world"})", "scope"},
       }) {
    auto parsed = parse_script(c.script);
    ASSERT_FALSE(parsed) << c.script;
    EXPECT_EQ(parsed.error().param, c.place);
    EXPECT_THAT(parsed.error().message, HasSubstr(c.place));
  }
  EXPECT_FALSE(parse_script(R"({"steps":[],"steps":[]})"));
  EXPECT_FALSE(parse_script("[]"));
  EXPECT_FALSE(load_script("/nonexistent/script.json"));
}

TEST(Script, SplitsTextIntoWordsThatAddUpToIt) {
  EXPECT_THAT(split_words("one two\n\nthree "), ElementsAre("one ", "two\n\n", "three "));
  EXPECT_THAT(split_words("  lead"), ElementsAre("  lead"));
  EXPECT_TRUE(split_words("").empty());
}

}  // namespace
}  // namespace perdure::models
