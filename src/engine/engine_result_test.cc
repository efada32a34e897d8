// Results of functions that are long or hold images: what the model reads of them, and what is
// kept. See function_result.h, context.h, engine_test_support.h.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kPicture =
    R"([{"type":"input_text","text":"see"},{"type":"input_image","image_url":"https://x/a"}])";

class ResultTest : public EngineTest {
 protected:
  SessionKey waiting(std::vector<models::OutputItem> calls) {
    world.outside.answers.push_back({.calls = std::move(calls)});
    AgentConfig agent = agent_with({"look", "render"});
    agent.functions[1].async = true;
    SessionKey key = world.create("go", agent);
    EXPECT_EQ(world.wait_for(key, SessionStatus::kRequiresAction), SessionStatus::kRequiresAction);
    return key;
  }
  Result<Committed> give(const SessionKey& key, std::string_view call_id, std::string output) {
    std::vector<Input> inputs;
    inputs.push_back(InputToolResult{world.items(key, true).at(1).turn_id, std::string(call_id),
                                     true, std::move(output), std::nullopt});
    return world.run(world.engine->submit(key, std::move(inputs), std::nullopt));
  }
  /// The URLs of the images that the model was last shown, after what each stands.
  std::vector<std::string> images_sent() {
    std::vector<std::string> lines;
    for (const models::ContextItem& item : world.outside.requests.back().context)
      if (const auto* user = std::get_if<models::UserMessage>(&item))
        for (std::size_t i = 1; i < user->parts.size(); ++i)
          lines.push_back(user->parts[i - 1].text + " " + user->parts[i].image_url);
    return lines;
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, ResultTest, all_variants(), variant_name);

TEST_P(ResultTest, ALongOneIsKeptWholeAndReadInPart) {
  SessionKey key = waiting({function_call("c1", "look", "{}")});
  std::string output = "\"begin" + std::string(2 * kMaxResultBytes, 'x') + "end\"";
  ASSERT_TRUE(give(key, "c1", output));
  world.wait_for(key, SessionStatus::kIdle);
  std::string read = last_context().at(2);
  EXPECT_LT(read.size(), kMaxResultBytes + 200);
  EXPECT_THAT(read, HasSubstr("result beginxx"));
  EXPECT_THAT(read, HasSubstr("bytes of this result are left out.]"));
  world.restart();
  ASSERT_TRUE(world.send(key, "again"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(last_context().at(2), read);
  EXPECT_EQ(world.items(key).at(2).output, output);
}

TEST_P(ResultTest, ImagesFollowAllResultsOfTheAnswer) {
  SessionKey key = waiting({function_call("c1", "look", "{}"), function_call("c2", "look", "{}")});
  ASSERT_TRUE(give(key, "c1", std::string(kPicture)));
  ASSERT_TRUE(give(key, "c2", "\"nothing\""));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(),
              ElementsAre("user go", "call c1", "call c2", "result see\n[an image, shown below]",
                          "result nothing", "user [Images of the result of the call c1:]"));
  EXPECT_THAT(images_sent(), ElementsAre("[Images of the result of the call c1:] https://x/a"));
  std::vector<std::string> before = last_context();
  world.restart();
  ASSERT_TRUE(world.send(key, "and now?"));
  world.wait_for(key, SessionStatus::kIdle);
  std::vector<std::string> after = last_context();
  ASSERT_GT(after.size(), before.size());
  after.resize(before.size());
  EXPECT_EQ(after, before) << "what a provider has cached stays the beginning";
  EXPECT_EQ(world.items(key).at(3).output, kPicture);
}

TEST_P(ResultTest, AnImageOfACancelledTurnIsShownBehindTheOtherCallsEnds) {
  SessionKey key = waiting({function_call("c1", "look", "{}"), function_call("c2", "look", "{}")});
  ASSERT_TRUE(give(key, "c1", std::string(kPicture)));
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  ASSERT_TRUE(world.send(key, "and now?"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre("user go", "call c1", "call c2", HasSubstr("result see"),
                                          HasSubstr("was cancelled"), HasSubstr("user [Images of"),
                                          "user and now?"));
}

TEST_P(ResultTest, ALateImageStandsInItsMessage) {
  SessionKey key =
      waiting({function_call("c1", "render", "{}"), function_call("c2", "look", "{}")});
  ASSERT_TRUE(give(key, "c2", "\"seen\""));
  world.wait_for(key, SessionStatus::kIdle);
  ASSERT_TRUE(give(key, "c1", std::string(kPicture)));
  world.wait_for(key, SessionStatus::kIdle);
  ASSERT_EQ(images_sent().size(), 1u);
  EXPECT_THAT(images_sent()[0], HasSubstr("[The result of the call c1 of render"));
  EXPECT_THAT(images_sent()[0], HasSubstr("https://x/a"));
}

}  // namespace
}  // namespace perdure::engine
