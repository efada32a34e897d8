// What the context record says of calls that were made. See context_record.h.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "journal/entry.h"

namespace perdure::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ContextRecordTest : public EngineTest {
 protected:
  ContextRecordTest() {
    world.models.push_back({.name = "small", .provider = "fake", .context_window = 4096});
    world.restart();
  }
  Result<Listed<CallContext>> record(const SessionKey& key, const std::string& turn,
                                     Page page = {{}, 100, true}) {
    return world.run(world.engine->context(key, turn, std::move(page)));
  }
  std::string newest_turn(const SessionKey& key) {
    return world.run(world.engine->turns(key, Page{{}, 1, false}))->data.front().id;
  }
  std::vector<CallContext> newest(const SessionKey& key) {
    return record(key, newest_turn(key))->data;
  }
  void say(const SessionKey& key, std::string text) {
    ASSERT_TRUE(world.send(key, std::move(text)));
    ASSERT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, ContextRecordTest, all_variants(), variant_name);

TEST_P(ContextRecordTest, ATurnsCallsAreToldWithWhatTheyWereSent) {
  AgentConfig agent = agent_with({"look"});
  agent.instructions = "Be brief, please.";
  world.outside.answers.push_back({.chunks = {"one"}});
  world.outside.answers.push_back({.calls = {function_call("c1", "opaque", "{}")}});
  SessionKey key = world.create("first", agent);
  world.wait_for(key, SessionStatus::kIdle);
  say(key, "second");
  std::vector<CallContext> calls = newest(key);
  ASSERT_EQ(calls.size(), 2u);
  const CallContext& first = calls[0];
  EXPECT_FALSE(first.compaction);
  EXPECT_EQ(first.provider, "fake");
  EXPECT_EQ(first.instructions_tokens, 8);
  EXPECT_THAT(first.tools, ElementsAre("look"));
  EXPECT_FALSE(first.summary);
  ASSERT_EQ(first.verbatim.size(), 2u) << "by turn";
  EXPECT_EQ(first.verbatim[0].items, 2u);
  EXPECT_EQ(first.verbatim[1].items, 1u);
  EXPECT_EQ(first.verbatim[1].turn_id, newest_turn(key));
  EXPECT_EQ(first.outcome, "finished");
  EXPECT_EQ(first.usage->input_tokens, 10);
  EXPECT_THAT(first.left_out, IsEmpty());
  EXPECT_EQ(calls[1].verbatim[1].items, 3u) << "the call and its result too";
  std::size_t sent = calls[1].verbatim[0].items + calls[1].verbatim[1].items;
  EXPECT_EQ(sent, world.outside.requests.back().context.size());
}

TEST_P(ContextRecordTest, ASummaryStandsForARangeAndTheRecordStaysAsItWas) {
  world.outside.respond = [](const models::ModelRequest&) {
    Answer answer{.chunks = {"so be it"}};
    answer.usage_known = false;
    return answer;
  };
  SessionKey key = world.create("the beginning", {.model = "small"});
  world.wait_for(key, SessionStatus::kIdle);
  std::string first_turn = newest_turn(key);
  auto before = record(key, first_turn)->data;
  for (int i = 0; i < 12; ++i) say(key, std::string(1000, 'm'));
  std::string turn;
  CallContext compaction;
  for (const TurnView& view : world.run(world.engine->turns(key, Page{{}, 50, true}))->data)
    for (const CallContext& call : record(key, view.id)->data)
      if (call.compaction && turn.empty()) {
        turn = view.id;
        compaction = call;
      }
  ASSERT_FALSE(turn.empty());
  EXPECT_EQ(compaction.reason, "threshold");
  EXPECT_EQ(compaction.window, 4096);
  EXPECT_EQ(compaction.input_limit, 3072);
  ASSERT_TRUE(compaction.summarised);
  EXPECT_GT(compaction.summarised->items, 2u);
  CallContext answer = record(key, turn)->data.back();
  ASSERT_TRUE(answer.summary);
  EXPECT_EQ(answer.summary->first, compaction.summarised->first);
  EXPECT_EQ(answer.summary->last, compaction.summarised->last);
  EXPECT_GT(answer.verbatim.front().first, answer.summary->last) << "nothing is sent twice";
  ASSERT_EQ(answer.left_out.size(), 1u);
  EXPECT_EQ(answer.left_out[0].why, "summarised");
  EXPECT_LT(answer.estimated_tokens, 3072);
  auto after = record(key, first_turn)->data;
  ASSERT_EQ(after.size(), before.size());
  EXPECT_EQ(after[0].estimated_tokens, before[0].estimated_tokens);
  EXPECT_FALSE(after[0].summary);
  world.restart();
  EXPECT_EQ(record(key, turn)->data.back().estimated_tokens, answer.estimated_tokens);
}

TEST_P(ContextRecordTest, FailedAttemptsAreToldAndPagesGoOn) {
  models::ModelFailure busy{.code = "server_overloaded", .message = "busy", .retryable = true};
  world.outside.answers.push_back({.failure = busy});
  SessionKey key = world.create("go");
  world.until([&] { return world.engine->counters().model_calls_abandoned == 1; });
  EXPECT_EQ(newest(key).at(0).outcome, "abandoned");
  world.env.advance(60'000);
  world.engine->check_timers();
  world.wait_for(key, SessionStatus::kIdle);
  std::string turn = newest_turn(key);
  auto page = record(key, turn, {{}, 1, true});
  ASSERT_EQ(page->data.size(), 1u);
  EXPECT_TRUE(page->has_more);
  EXPECT_EQ(page->data[0].error_code, "server_overloaded");
  page = record(key, turn, {std::to_string(page->data[0].entry), 1, true});
  ASSERT_EQ(page->data.size(), 1u);
  EXPECT_FALSE(page->has_more);
  EXPECT_EQ(page->data[0].outcome, "finished");
  ASSERT_EQ(page->data[0].left_out.size(), 1u);
  EXPECT_EQ(page->data[0].left_out[0].why, "abandoned_attempt");
  EXPECT_EQ(record(key, turn, {"999", 1, true}).error().param, "after");
  EXPECT_EQ(record(key, "turn_nonsense").error().code, ErrorCode::kNotFound);
  SessionKey other{{"other"}, key.session};
  EXPECT_EQ(record(other, turn).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace perdure::engine
