// Answers that must follow a schema: those that do not are asked for once more, and never shown as
// answers.
#include "engine/answer_format.h"

#include <gmock/gmock.h>

#include "engine/engine_test_support.h"

namespace perdure::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AnswerFormatTest : public EngineTest {
 protected:
  static AgentConfig agent() {
    AgentConfig agent = agent_with({"look"});
    agent.text_schema =
        R"({"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}})";
    return agent;
  }
  void answers(std::vector<std::string> texts) {
    for (std::string& text : texts) world.outside.answers.push_back({.chunks = {std::move(text)}});
  }
  TurnView last_turn(const SessionKey& key) {
    EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
    return world.run(world.engine->turns(key, {}))->data.front();
  }
  const std::string kWrong = R"({"n":"one"})";
  const std::string kRight = R"({"n":1})";
};

INSTANTIATE_TEST_SUITE_P(Stores, AnswerFormatTest, all_variants(), variant_name);

TEST_P(AnswerFormatTest, AnAnswerThatFollowsItsSchemaIsTheAnswer) {
  answers({kRight});
  SessionKey key = world.create("go", agent());
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_EQ(world.outside.requests.size(), 1u);
}

TEST_P(AnswerFormatTest, OneThatDoesNotIsAskedForAgainWithWhatIsWrong) {
  answers({kWrong, kRight, kRight});
  SessionKey key = world.create("go", agent());
  TurnView turn = last_turn(key);
  EXPECT_EQ(turn.status, TurnStatus::kCompleted);
  EXPECT_THAT(texts(key), ElementsAre("go", kRight)) << "the first is no answer";
  ASSERT_EQ(world.outside.requests.size(), 2u);
  auto context = last_context();
  ASSERT_EQ(context.size(), 3u);
  EXPECT_EQ(context[1], "assistant " + kWrong);
  EXPECT_THAT(context[2], HasSubstr("answer.n must be of type integer, and is a string"));
  EXPECT_EQ(turn.usage->output_tokens, 10) << "both calls count";
  world.restart();
  ASSERT_TRUE(world.send(key, "again"));
  last_turn(key);
  auto later = last_context();
  ASSERT_EQ(later.size(), 5u);
  EXPECT_TRUE(std::equal(context.begin(), context.end(), later.begin()))
      << "what was sent stays where it was";
}

TEST_P(AnswerFormatTest, WhoSawItBeginSeesItEndAsIncomplete) {
  answers({kWrong, kRight});
  SessionKey key = world.create("go", agent());
  last_turn(key);
  std::vector<std::string> messages;
  for (const ItemView& item : world.items(key, /*incomplete=*/true))
    if (item.type == ItemType::kAssistantMessage)
      messages.push_back(item.parts.at(0).text +
                         (item.status == ItemStatus::kIncomplete ? " incomplete" : " completed"));
  EXPECT_THAT(messages, ElementsAre(kWrong + " incomplete", kRight + " completed"));
}

TEST_P(AnswerFormatTest, ASecondWrongAnswerFailsTheTurnAndTheSessionGoesOn) {
  answers({kWrong, "no JSON at all", kRight});
  SessionKey key = world.create("go", agent());
  TurnView turn = last_turn(key);
  EXPECT_EQ(turn.status, TurnStatus::kFailed);
  ASSERT_TRUE(turn.error);
  EXPECT_EQ(turn.error->code, "server_error");
  EXPECT_THAT(turn.error->message, HasSubstr("neither did the one before it"));
  EXPECT_THAT(turn.error->message, HasSubstr("must be JSON and nothing else"));
  EXPECT_THAT(texts(key), ElementsAre("go"));
  ASSERT_TRUE(world.send(key, "again"));
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted) << "every turn may be repaired";
}

TEST_P(AnswerFormatTest, TheRepairIsTakenUpAfterACrash) {
  answers({kWrong});
  world.outside.answers.push_back({.chunks = {"{"}, .hang = true});
  SessionKey key = world.create("go", agent());
  world.until([&] { return world.outside.requests.size() == 2 && world.outside.in_flight == 1; });
  world.stop();
  answers({"wrong again"});
  world.start();
  TurnView turn = last_turn(key);
  EXPECT_EQ(turn.status, TurnStatus::kFailed) << "a crash gives no second repair";
  EXPECT_EQ(world.outside.requests.size(), 3u);
  EXPECT_THAT(last_context().back(), HasSubstr("must be of type integer"));
}

TEST_P(AnswerFormatTest, CallsAndRefusalsAreNoAnswers) {
  world.outside.answers.push_back(
      {.chunks = {"Let me look."}, .calls = {function_call("c1", "look", "{}")}});
  answers({kRight});
  SessionKey key = world.create("go", agent());
  world.wait_for(key, SessionStatus::kRequiresAction);
  ASSERT_TRUE(world.answer(key, world.view(key)->required_actions.at(0), "seen"));
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_EQ(world.outside.requests.size(), 2u);
  models::ModelOutput refusal;
  refusal.items.push_back({.text = "I will not.", .refusal = true});
  EXPECT_FALSE(check_answer(agent(), refusal));
  EXPECT_TRUE(check_answer(agent(), models::ModelOutput{})) << "nothing is no answer either";
}

TEST_P(AnswerFormatTest, BothCallsAreChargedAndTheRecordTellsThemApart) {
  answers({kWrong, kRight});
  AgentConfig priced = agent();
  priced.model = "priced-model";
  SessionKey key = world.create("go", priced);
  TurnView turn = last_turn(key);
  EXPECT_EQ(world.view(key)->spent, 120'000);
  EXPECT_THAT(*world.run(world.journal->reservations(key)), IsEmpty());
  auto used = world.run(world.engine->accounts().usage({.project = world.project}));
  ASSERT_TRUE(used);
  EXPECT_EQ(used->at(0).counts.calls, 2);
  EXPECT_EQ(used->at(0).counts.abandoned, 0) << "a wrong answer is one that was given";
  auto record = world.run(world.engine->context(key, turn.id, Page{{}, 20, true}));
  ASSERT_TRUE(record);
  ASSERT_EQ(record->data.size(), 2u);
  EXPECT_EQ(record->data[0].outcome, "rejected");
  EXPECT_THAT(record->data[0].error, HasSubstr("answer.n must be of type integer"));
  EXPECT_EQ(record->data[1].outcome, "finished");
  EXPECT_EQ(record->data[1].verbatim.at(0).items, 3u) << "message, answer, and what is wrong";
  EXPECT_THAT(record->data[1].left_out, IsEmpty());
}

TEST_P(AnswerFormatTest, ALimitThatDoesNotAllowTheRepairEndsTheTurn) {
  answers({kWrong});
  CreateSession command;
  command.project = world.project;
  command.principal = "tester";
  command.agent = agent();
  command.agent.model = "priced-model";
  command.spend_limit = 1'050'000;  // the first call, and not another of full length
  command.input.push_back({{"go"}});
  auto created = world.run(world.engine->create_session(std::move(command)));
  ASSERT_TRUE(created);
  TurnView turn = last_turn(created->session->key);
  ASSERT_TRUE(turn.error);
  EXPECT_EQ(turn.error->code, "session_budget_exceeded");
  EXPECT_EQ(world.outside.requests.size(), 1u);
}

}  // namespace
}  // namespace perdure::engine
