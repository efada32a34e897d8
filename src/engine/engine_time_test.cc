// What models are told of the time: when, where it stands, and that it stays there.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/limits.h"
#include "engine/time_reminder.h"

namespace perdure::engine {
namespace {

using ::testing::ElementsAre;

class EngineTimeTest : public EngineTest {
 protected:
  SessionKey create(std::string text, bool aware = true) {
    AgentConfig agent = agent_with({"look"});
    agent.time_awareness = aware;
    return world.create(std::move(text), agent);
  }
  void ask_for_look() {
    world.outside.answers.push_back({.chunks = {}, .calls = {function_call("c1", "look", "{}")}});
  }
  void turn(const SessionKey& key, std::string text) {
    ASSERT_TRUE(world.send(key, std::move(text)));
    ASSERT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  }
  std::string note() { return "user [The time is " + utc_text(world.env.now()) + ".]"; }
};

INSTANTIATE_TEST_SUITE_P(Stores, EngineTimeTest, all_variants(), variant_name);

TEST_P(EngineTimeTest, EveryTurnBeginsWithTheTimeAndKeepsIt) {
  world.outside.answers = {{.chunks = {"hi"}}, {.chunks = {"yes"}}};
  const std::string first = note();
  SessionKey key = create("one");
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre(first, "user one"));
  world.env.advance(1000);
  world.restart();
  const std::string second = note();
  EXPECT_NE(first, second);
  turn(key, "two");
  EXPECT_THAT(last_context(), ElementsAre(first, "user one", "assistant hi", second, "user two"));
  EXPECT_THAT(texts(key), ElementsAre("one", "hi", "two", "yes")) << "it is no item";
}

TEST_P(EngineTimeTest, ALongTurnIsToldAgainOnceThePeriodHasPassed) {
  const std::string first = note();
  ask_for_look();
  ask_for_look();
  SessionKey key = create("go");
  world.wait_for(key, SessionStatus::kRequiresAction);
  world.env.advance(kTimeReminderMs - 1);
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  world.until([&] { return world.outside.requests.size() == 2; });
  EXPECT_THAT(last_context(), ElementsAre(first, "user go", "call c1", "result seen"));
  world.wait_for(key, SessionStatus::kRequiresAction);
  world.env.advance(1);
  const std::string second = note();
  world.restart();
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen too"));
  world.wait_for(key, SessionStatus::kIdle);
  auto context = last_context();
  ASSERT_EQ(context.size(), 7u);
  EXPECT_EQ(context[0], first) << "what was sent before is sent again as it was";
  EXPECT_EQ(context[5], "result seen too");
  EXPECT_EQ(context[6], second);
}

TEST_P(EngineTimeTest, AClockThatIsSetBackIsToldOnceAndNotForEver) {
  ask_for_look();
  SessionKey key = create("go");
  world.wait_for(key, SessionStatus::kRequiresAction);
  world.env.advance(-2 * kTimeReminderMs);
  const std::string back = note();
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_EQ(last_context().back(), back);
}

TEST_P(EngineTimeTest, MessagesThatWaitedComeBehindTheTimeOfTheirTurn) {
  world.outside.answers.push_back({.chunks = {"..."}, .hang = true});
  SessionKey key = create("one");
  world.until([&] { return world.outside.in_flight == 1; });
  ASSERT_TRUE(world.send(key, "two"));
  world.env.advance(5000);
  const std::string second = note();
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  world.wait_for(key, SessionStatus::kIdle);
  auto context = last_context();
  ASSERT_EQ(context.size(), 4u);
  EXPECT_EQ(context[2], second);
  EXPECT_EQ(context[3], "user two");
}

TEST_P(EngineTimeTest, NobodyIsToldWhoDoesNotAsk) {
  SessionKey key = create("one", /*aware=*/false);
  world.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(last_context(), ElementsAre("user one"));
}

TEST_P(EngineTimeTest, TheContextRecordSaysWhatTimeTheModelWasTold) {
  const UnixMillis told = world.env.now();
  SessionKey key = create("one");
  world.wait_for(key, SessionStatus::kIdle);
  world.env.advance(60'000);
  auto turns = world.run(world.engine->turns(key, {}));
  auto record = world.run(world.engine->context(key, turns->data.front().id, Page{{}, 20, true}));
  ASSERT_TRUE(record);
  ASSERT_TRUE(record->data.at(0).time_reminder);
  EXPECT_EQ(record->data[0].time_reminder->time, told);
  EXPECT_EQ(record->data[0].verbatim.at(0).items, 2u) << "the reminder and the message";
}

TEST_P(EngineTimeTest, ACompactionThatTakesTheTimeAwayIsFollowedByIt) {
  models::ModelEntry small{.name = "small", .provider = "fake"};
  small.context_window = 2048;
  world.models = {small};
  world.restart();
  int summaries = 0;
  world.outside.respond = [&](const models::ModelRequest& request) -> Answer {
    if (request.instructions.starts_with("You shorten") && ++summaries > 0)
      return {.chunks = {"It was long."}, .usage_known = false};
    return {.chunks = {"Well."}, .usage_known = false};
  };
  AgentConfig agent = agent_with({"look"});
  agent.model = "small";
  agent.time_awareness = true;
  SessionKey key = world.create("one", agent);
  world.wait_for(key, SessionStatus::kIdle);
  for (int more = 0; more < 8; ++more) {
    const int summarised = summaries;
    turn(key, std::string(1500, 'x'));
    auto sent = last_context();
    EXPECT_THAT(std::vector(sent.end() - 2, sent.end()), testing::Contains(note()));
    if (summaries == summarised) continue;
    EXPECT_THAT(sent.front(), testing::HasSubstr("It was long."));
    EXPECT_EQ(sent.back(), note()) << "told anew, behind what is kept";
  }
  EXPECT_GT(summaries, 1);
  const auto before = last_context();
  world.restart();
  turn(key, "and now?");
  const auto after = last_context();
  ASSERT_GT(after.size(), before.size());
  EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin()));
  auto turns = world.run(world.engine->turns(key, {}));
  EXPECT_EQ(turns->data.front().status, TurnStatus::kCompleted);
}

TEST(TimeReminderTest, TimesAreOfUtc) {
  EXPECT_EQ(utc_text(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(utc_text(1'800'000'000'999), "2027-01-15T08:00:00Z");
  EXPECT_EQ(utc_text(951'782'399'000), "2000-02-28T23:59:59Z");
  EXPECT_EQ(utc_text(951'782'400'000), "2000-02-29T00:00:00Z");
}

}  // namespace
}  // namespace perdure::engine
