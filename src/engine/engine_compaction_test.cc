// Long conversations: what is sent stays within the model's window, nothing of it is lost or
// parted, and calls that summarise end like all others. See compaction.h, engine_test_support.h.
#include <gmock/gmock.h>

#include <set>

#include "base/bytes.h"
#include "engine/compaction.h"
#include "engine/engine_test_support.h"
#include "engine/fold.h"
#include "engine/limits.h"
#include "journal/entry.h"

namespace perdure::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr std::int64_t kWindow = 4096;
constexpr std::int64_t kAnswerTokens = 60;
const std::string kFact = "my locker has the code heron-42";

bool is_summary(const models::ModelRequest& request) {
  return request.instructions.starts_with("You shorten a conversation");
}

/// As a provider would count.
std::int64_t tokens_in(const models::ModelRequest& request) {
  std::size_t bytes = request.instructions.size();
  for (const models::FunctionTool& tool : request.tools)
    bytes += tool.name.size() + tool.description.size() + tool.parameters.size();
  std::int64_t tokens = static_cast<std::int64_t>(bytes / 4);
  for (const models::ContextItem& item : request.context) tokens += tokens_of(item);
  return tokens;
}

std::string text_of(const models::ModelRequest& request) {
  std::string text;
  for (const models::ContextItem& item : request.context) {
    if (const auto* user = std::get_if<models::UserMessage>(&item)) text += user->parts[0].text;
    if (const auto* output = std::get_if<models::OutputItem>(&item)) text += output->text;
    if (const auto* result = std::get_if<models::FunctionOutput>(&item)) text += result->output;
    text += '\n';
  }
  return text;
}

/// Every call with its result behind it, every result with its call before it.
void expect_pairs(const models::ModelRequest& request) {
  std::multiset<std::string> open;
  for (const models::ContextItem& item : request.context) {
    if (const auto* output = std::get_if<models::OutputItem>(&item);
        output && output->type == models::OutputType::kFunctionCall)
      open.insert(output->call_id);
    if (const auto* result = std::get_if<models::FunctionOutput>(&item)) {
      auto found = open.find(result->call_id);
      ASSERT_NE(found, open.end()) << "a result without its call: " << result->call_id;
      open.erase(found);
    }
  }
  EXPECT_THAT(open, IsEmpty()) << "calls without results";
}

class CompactionTest : public EngineTest {
 protected:
  CompactionTest() {
    world.models.push_back({.name = "small", .provider = "fake", .context_window = kWindow});
    models::ModelEntry dear = priced_model();
    dear.name = "small-priced";
    dear.context_window = kWindow;
    dear.max_output_tokens = kWindow / 4;
    world.models.push_back(dear);
    world.restart();
    world.outside.respond = [this](const models::ModelRequest& request) {
      return is_summary(request) ? summarise(request) : answer(request);
    };
  }

  Answer counted(const models::ModelRequest& request, Answer answer) const {
    answer.usage = {.input_tokens = tokens_in(request), .output_tokens = kAnswerTokens};
    answer.usage_known = tell_usage;
    return answer;
  }
  /// Like a model that keeps what matters.
  Answer summarise(const models::ModelRequest& request) {
    ++summaries;
    EXPECT_THAT(request.tools, IsEmpty());
    if (summary_answer) return *summary_answer;
    bool knows = text_of(request).find(kFact) != std::string::npos;
    return counted(request, {.chunks = {knows ? "The user said: " + kFact : "Small talk."}});
  }
  Answer answer(const models::ModelRequest& request) {
    if (next_answer) return *std::exchange(next_answer, std::nullopt);
    return counted(request, {.chunks = {"I see. ", std::string(200, 'a')}});
  }
  SessionKey create(std::string text, AgentConfig agent = {}) {
    if (agent.model.empty()) agent.model = "small";
    return world.create(std::move(text), std::move(agent));
  }
  void say(const SessionKey& key, std::string text) {
    ASSERT_TRUE(world.send(key, std::move(text)));
    ASSERT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  }
  /// Turns until the next one will begin with a compaction; the first says the fact.
  SessionKey nearly_full(AgentConfig agent = {}, std::optional<models::Money> limit = {}) {
    CreateSession command{.project = world.project, .principal = "tester"};
    command.agent = std::move(agent);
    if (command.agent.model.empty()) command.agent.model = "small";
    command.spend_limit = limit;
    command.input.push_back({{kFact}});
    SessionKey key = world.run(world.engine->create_session(std::move(command)))->session->key;
    world.wait_for(key, SessionStatus::kIdle);
    while (true) {
      std::int64_t tokens = tokens_in(world.outside.requests.back()) + kAnswerTokens;
      if (tokens > 2625) break;  // 85 % of three quarters of the window
      say(key, std::string(
                   static_cast<std::size_t>(std::clamp<std::int64_t>((2596 - tokens) * 4, 1, 1000)),
                   'm'));
    }
    EXPECT_EQ(summaries, 0);
    return key;
  }
  TurnView last_turn(const SessionKey& key) {
    return world.run(world.engine->turns(key, Page{{}, 1, false}))->data.front();
  }
  void expect_failed(const SessionKey& key, std::string code, std::string part) {
    TurnView turn = last_turn(key);
    EXPECT_EQ(turn.status, TurnStatus::kFailed);
    ASSERT_TRUE(turn.error);
    EXPECT_EQ(turn.error->code, code);
    EXPECT_THAT(turn.error->message, HasSubstr(part));
  }
  std::size_t count(journal::Kind kind) {
    std::size_t entries = 0;
    for (const journal::Append& append : world.faults.appended)
      for (const journal::EntryDraft& entry : append.entries) entries += entry.kind == kind;
    return entries;
  }
  std::size_t count_items(const SessionKey& key) {
    std::size_t items = 0;
    for (Page page{{}, 100, true};;) {
      auto listed = world.run(world.engine->items(key, std::nullopt, page, false));
      items += listed->data.size();
      if (!listed->has_more) return items;
      page.after = listed->data.back().id;
    }
  }

  int summaries = 0;
  bool tell_usage = true;
  std::optional<Answer> next_answer;
  std::optional<Answer> summary_answer;
};

INSTANTIATE_TEST_SUITE_P(Stores, CompactionTest, all_variants(), variant_name);

TEST_P(CompactionTest, ThreeHundredTurnsFitIntoASmallWindow) {
  SessionKey key = create(kFact);
  for (int turn = 1; turn < 300; ++turn) {
    world.wait_for(key, SessionStatus::kIdle);
    ASSERT_TRUE(world.send(key, "turn " + std::to_string(turn) + std::string(300, 'm')));
  }
  world.wait_for(key, SessionStatus::kIdle);
  for (const models::ModelRequest& request : world.outside.requests) {
    ASSERT_LE(tokens_in(request), kWindow - kWindow / 4) << "no room for an answer";
    if (!is_summary(request)) ASSERT_THAT(text_of(request), HasSubstr(kFact));
  }
  EXPECT_GT(summaries, 5);
  EXPECT_LT(summaries, 60) << "each makes room for several turns";
  EXPECT_EQ(count_items(key), 600u) << "nothing is deleted";
  auto loaded = world.run(world.journal->load(key, ~0ULL));
  ASSERT_TRUE(loaded->snapshot);
  EXPECT_LT(loaded->snapshot->body.size(), 4096u);
  // Woken by another process it goes on with the same.
  models::ModelRequest last = world.outside.requests.back();
  world.restart();
  say(key, "and now?");
  EXPECT_THAT(text_of(world.outside.requests.back()), StartsWith(text_of(last)));
}

TEST_P(CompactionTest, WhereNobodyTellsUsageTheEstimateHolds) {
  tell_usage = false;
  SessionKey key = create(kFact);
  for (int turn = 1; turn < 40; ++turn) {
    world.wait_for(key, SessionStatus::kIdle);
    ASSERT_TRUE(world.send(key, "turn " + std::to_string(turn) + std::string(600, 'm')));
  }
  world.wait_for(key, SessionStatus::kIdle);
  for (const models::ModelRequest& request : world.outside.requests) {
    ASSERT_LE(tokens_in(request), kWindow - kWindow / 4);
    if (!is_summary(request)) ASSERT_THAT(text_of(request), HasSubstr(kFact));
  }
  EXPECT_GT(summaries, 1);
}

TEST_P(CompactionTest, TheNewestMessagesAndTheInstructionsStayAsTheyAre) {
  AgentConfig agent = agent_with({"look"});
  agent.model = "small";
  agent.instructions = "Be brief.";
  SessionKey key = nearly_full(agent);
  std::vector<std::string> before = texts(key);
  say(key, "the newest");
  ASSERT_EQ(summaries, 1);
  const models::ModelRequest& asked = world.outside.requests.back();
  EXPECT_EQ(asked.instructions, "Be brief.");
  EXPECT_EQ(asked.tools.at(0).name, "look");
  EXPECT_THAT(last_context().front(), HasSubstr("The user said: " + kFact));
  EXPECT_EQ(last_context().back(), "user the newest");
  EXPECT_GT(last_context().size(), 2u) << "some of what is newer is kept";
  EXPECT_EQ(text_of(asked).find("[What the user asked for"), std::string::npos)
      << "what is sent as it is need not be repeated";
  std::vector<std::string> after = texts(key);
  after.resize(before.size());
  EXPECT_EQ(after, before);
}

TEST_P(CompactionTest, ALongNewestMessageStaysAsItIsToo) {
  SessionKey key = create(kFact);
  world.wait_for(key, SessionStatus::kIdle);
  for (int i = 0; i < 3; ++i) say(key, std::string(1000, 'm'));
  std::string text(8000, 'n');  // more than the share that is kept otherwise
  say(key, text);
  EXPECT_GT(summaries, 0);
  EXPECT_EQ(last_context().back(), "user " + text);
  EXPECT_THAT(last_context().front(), HasSubstr(kFact));
}

TEST_P(CompactionTest, WhereNothingCanBeSummarisedTheModelIsAskedAllTheSame) {
  SessionKey key =
      create(std::string(12'000, 'n'));  // less than the window, more than it should be
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_EQ(summaries, 0);
  EXPECT_EQ(count(journal::kCompactionStarted), 1u) << "once is enough to find that out";
  say(key, "short");
  EXPECT_EQ(summaries, 1);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
}

TEST_P(CompactionTest, NobodySeesASummaryBeingWritten) {
  SessionKey key = nearly_full();
  auto stream = world.run(world.engine->subscribe(key, StreamFrom{std::nullopt, true}));
  ASSERT_TRUE(world.send(key, "go on"));
  std::string seen;
  int added = 0;
  while (true) {
    auto batch = world.run((*stream)->next());
    if (!batch || !*batch) break;
    for (const auto& event : **batch) {
      seen += event->text;
      added += event->type == EventType::kItemAdded;
    }
  }
  ASSERT_EQ(summaries, 1);
  EXPECT_EQ(added, 2) << "the message and its answer";
  EXPECT_THAT(seen, Not(HasSubstr(kFact)));
  EXPECT_THAT(texts(key), Not(testing::Contains(HasSubstr("The user said"))));
}

TEST_P(CompactionTest, CallsAreNeverPartedFromTheirResults) {
  int rounds = 0;
  world.outside.respond = [&](const models::ModelRequest& request) {
    if (is_summary(request)) return summarise(request);
    std::string id = "c" + std::to_string(++rounds);
    // Of all sizes, so that no limit falls between two rounds by chance.
    world.outside.tool_output = std::string(static_cast<std::size_t>(300 + rounds % 7 * 97), 'r');
    if (rounds % 12 == 0) return counted(request, {.chunks = {"done"}});
    return counted(request, {.chunks = {"Let me see."},
                             .calls = {function_call(id + "a", "opaque", "{}"),
                                       function_call(id + "b", "keyed", "{}")}});
  };
  SessionKey key = create("use the tools. " + kFact);
  world.wait_for(key, SessionStatus::kIdle);
  say(key, "and again");
  EXPECT_GT(summaries, 2);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  for (const models::ModelRequest& request : world.outside.requests) {
    ASSERT_LE(tokens_in(request), kWindow - kWindow / 4);
    if (!is_summary(request)) expect_pairs(request);
  }
  EXPECT_THAT(last_context().front(), HasSubstr("word for word:]\nand again"))
      << "what the turn is about is not paraphrased";
}

TEST_P(CompactionTest, AToolsResultThatIsLargerThanTheWindowIsSummarised) {
  world.outside.tool_output = kFact + std::string(40'000, 'r');
  SessionKey key = create("use it");
  world.wait_for(key, SessionStatus::kIdle);
  next_answer = Answer{.calls = {function_call("c1", "opaque", "{}")}};
  say(key, "read the file");
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_GT(summaries, 0);
  for (const models::ModelRequest& request : world.outside.requests)
    EXPECT_LE(tokens_in(request), kWindow - kWindow / 4);
  EXPECT_THAT(last_context().front(), HasSubstr("The user said: " + kFact));
}

TEST_P(CompactionTest, AMessageLargerThanTheWindowFailsItsTurnAndTheNextOneWorks) {
  SessionKey key = create(kFact);
  world.wait_for(key, SessionStatus::kIdle);
  std::size_t asked = world.outside.requests.size();
  say(key, std::string(40'000, 'm'));
  expect_failed(key, "context_length_exceeded", "The newest message takes about 100");
  EXPECT_EQ(world.outside.requests.size(), asked) << "nothing was asked in vain";
  say(key, "sorry, a short one");
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_EQ(last_context().back(), "user sorry, a short one");
  EXPECT_THAT(text_of(world.outside.requests.back()), HasSubstr(kFact));
  for (const models::ModelRequest& request : world.outside.requests)
    EXPECT_LE(tokens_in(request), kWindow - kWindow / 4);

  SessionKey first = create(std::string(40'000, 'm'));
  world.wait_for(first, SessionStatus::kIdle);
  expect_failed(first, "context_length_exceeded", "send a shorter one");
  say(first, "short");
  EXPECT_EQ(last_turn(first).status, TurnStatus::kCompleted);
}

TEST_P(CompactionTest, InstructionsLargerThanTheWindowAreNamed) {
  AgentConfig agent{.model = "small"};
  agent.instructions = std::string(20'000, 'i');
  SessionKey key = create("hello", agent);
  world.wait_for(key, SessionStatus::kIdle);
  expect_failed(key, "context_length_exceeded", "The agent's instructions and tools take about");
}

TEST_P(CompactionTest, AnOverflowThatTheProviderTellsLeadsToOneCompactionAndTheCallAgain) {
  SessionKey key = create(kFact, {.model = "fake-model"});  // its window is not known
  world.wait_for(key, SessionStatus::kIdle);
  for (int i = 0; i < 6; ++i) say(key, std::string(1000, 'm'));
  models::ModelFailure overflow{.code = "context_length_exceeded", .message = "too long"};
  next_answer = Answer{.failure = overflow};
  say(key, "the newest");
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_EQ(summaries, 1);
  EXPECT_THAT(last_context().front(), HasSubstr(kFact));
  EXPECT_EQ(last_context().back(), "user the newest");
  say(key, "and on");
  EXPECT_EQ(summaries, 1) << "one was enough";
}

TEST_P(CompactionTest, AnOverflowThatRepeatsEndsTheTurnAndIsNoLatch) {
  SessionKey key = create(kFact, {.model = "fake-model"});
  world.wait_for(key, SessionStatus::kIdle);
  for (int i = 0; i < 6; ++i) say(key, std::string(1000, 'm'));
  models::ModelFailure overflow{.code = "context_length_exceeded", .message = "too long"};
  for (bool summary_too : {false, true}) {
    world.outside.respond = [&](const models::ModelRequest& request) {
      if (is_summary(request) && !summary_too) return summarise(request);
      return Answer{.chunks = {}, .failure = overflow};
    };
    std::size_t asked = world.outside.requests.size();
    ASSERT_TRUE(world.send(key, "the newest"));
    EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
    expect_failed(key, "context_length_exceeded", "too long");
    EXPECT_LE(world.outside.requests.size() - asked, 8u) << "it does not ask for ever";
  }
  world.outside.respond = [this](const models::ModelRequest& request) {
    return is_summary(request) ? summarise(request) : answer(request);
  };
  say(key, "now?");
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_THAT(text_of(world.outside.requests.back()), HasSubstr(kFact));
}

TEST_P(CompactionTest, ASummaryThatIsItselfTooLongIsMadeOfLess) {
  SessionKey key = create(kFact, {.model = "fake-model"});
  world.wait_for(key, SessionStatus::kIdle);
  for (int i = 0; i < 12; ++i) say(key, std::string(2000, 'm'));
  // A model with 2500 tokens, of which nobody knows.
  world.outside.respond = [&](const models::ModelRequest& request) {
    if (tokens_in(request) > 2500)
      return Answer{.chunks = {},
                    .failure = models::ModelFailure{.code = "context_length_exceeded",
                                                    .message = "too long"}};
    return is_summary(request) ? summarise(request) : answer(request);
  };
  say(key, "the newest");
  say(key, "another");
  say(key, "and another");
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_THAT(text_of(world.outside.requests.back()), HasSubstr(kFact));
}

TEST_P(CompactionTest, AModelThatWritesNoSummaryGetsExcerpts) {
  for (const Answer& no : {Answer{.chunks = {"  "}}, Answer{.chunks = {}}}) {
    summary_answer = no;
    SessionKey key = nearly_full();
    say(key, "the newest");
    EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
    EXPECT_THAT(last_context().front(), HasSubstr(kFact));
    EXPECT_EQ(last_context().back(), "user the newest");
    summaries = 0;
  }
}

TEST_P(CompactionTest, ASummaryThatFailsIsTriedAgainAndThenFailsTheTurn) {
  SessionKey key = nearly_full();
  summary_answer = Answer{.chunks = {},
                          .failure = models::ModelFailure{
                              .code = "server_overloaded", .message = "busy", .retryable = true}};
  ASSERT_TRUE(world.send(key, "the newest"));
  for (std::uint64_t attempt = 1; attempt <= 3; ++attempt) {
    world.until([&] { return world.engine->counters().model_calls_abandoned == attempt; });
    world.env.advance(60'000);
    world.engine->check_timers();
  }
  world.wait_for(key, SessionStatus::kIdle);
  expect_failed(key, "server_overloaded", "busy");
  EXPECT_EQ(summaries, 3);
  summary_answer.reset();
  say(key, "again");
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_THAT(text_of(world.outside.requests.back()), HasSubstr(kFact));
}

TEST_P(CompactionTest, InputThatComesWhileItRunsIsNotLost) {
  SessionKey key = nearly_full();
  summary_answer = Answer{.chunks = {"half a summary"}, .hang = true};
  ASSERT_TRUE(world.send(key, "first"));
  world.until([&] { return summaries == 1; });
  ASSERT_TRUE(world.send(key, "second"));
  world.settle();
  summary_answer.reset();
  world.restart();  // dies with the call
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  std::vector<std::string> context = last_context();
  ASSERT_GT(context.size(), 2u);
  EXPECT_THAT(std::vector(context.end() - 2, context.end()),
              ElementsAre("user first", "user second"));
  EXPECT_THAT(context.front(), HasSubstr(kFact));
  EXPECT_EQ(count(journal::kCompactionFinished), 1u);
  EXPECT_EQ(world.items(key, true).size(), world.items(key).size()) << "no half summary is shown";
}

TEST_P(CompactionTest, ACancelEndsIt) {
  SessionKey key = nearly_full();
  summary_answer = Answer{.chunks = {"half"}, .hang = true};
  ASSERT_TRUE(world.send(key, "go on"));
  world.until([&] { return summaries == 1; });
  ASSERT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCancelled);
  world.until([&] { return world.outside.in_flight == 0; });
  EXPECT_THAT(world.run(world.journal->effects(key)).value(), IsEmpty());
  summary_answer.reset();
  say(key, "after all");
  EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
  EXPECT_THAT(text_of(world.outside.requests.back()), HasSubstr(kFact));
}

TEST_P(CompactionTest, AStopEndsIt) {
  SessionKey key = nearly_full();
  summary_answer = Answer{.chunks = {"half"}, .hang = true};
  ASSERT_TRUE(world.send(key, "go on"));
  world.until([&] { return summaries == 1; });
  auto stopped = world.run(world.engine->stop(
      {world.project, policy::StopScope::kSession, key.session.value, "wild", "key_1", false}));
  ASSERT_TRUE(stopped);
  EXPECT_EQ(world.wait_for(key, SessionStatus::kIdle), SessionStatus::kIdle);
  expect_failed(key, "invalid_request", "Stopped by an operator");
  EXPECT_THAT(world.run(world.journal->effects(key)).value(), IsEmpty());
  EXPECT_EQ(count(journal::kCompactionFinished), 0u);
}

TEST_P(CompactionTest, ItIsPaidFromTheBudgetAndCountedInTheUsage) {
  SessionKey key = nearly_full({.model = "small-priced"});
  models::Money before = world.view(key)->spent;
  say(key, "go on");
  ASSERT_EQ(summaries, 1);
  auto usage = world.run(world.engine->accounts().session_usage(key, Page{{}, 100, true}));
  EXPECT_EQ(usage->turns.data.back().counts.calls, 2);
  EXPECT_EQ(usage->turns.data.back().counts.cost, world.view(key)->spent - before);
  EXPECT_GT(last_turn(key).usage->input_tokens, 2 * tokens_in(world.outside.requests.back()) - 1000)
      << "both calls' tokens";
  EXPECT_EQ(world.view(key)->reserved, 0);
}

TEST_P(CompactionTest, WithoutMoneyForItTheTurnFailsAndKeepsNothingReserved) {
  SessionKey rich = nearly_full({.model = "small-priced"});
  // Enough for every call so far, which reads less than a compaction is allowed to.
  models::Money limit = world.view(rich)->spent + 15'000'000;
  SessionKey key = nearly_full({.model = "small-priced"}, limit);
  say(key, "go on");
  EXPECT_EQ(summaries, 0);
  expect_failed(key, "session_budget_exceeded", "spending limit");
  EXPECT_EQ(world.view(key)->reserved, 0);
}

TEST_P(CompactionTest, PolicyIsAskedForIt) {
  SessionKey key = nearly_full();
  world.policy.denied = "small";
  say(key, "go on");
  EXPECT_EQ(summaries, 0);
  expect_failed(key, "invalid_request", "it is forbidden here");
}

/// The same work with a crash after each number of commits.
TEST_P(CompactionTest, ACrashBeforeAnyCommitLosesAndRepeatsNothing) {
  std::vector<std::string> expected;
  for (int survivors = -1; survivors <= 7; ++survivors) {
    SCOPED_TRACE("crash after " + std::to_string(survivors) + " commits");
    summaries = 0;
    SessionKey key = nearly_full();
    bool crashed = false;
    auto left = std::make_shared<int>(survivors);
    if (survivors >= 0)
      world.faults.refuse = [&crashed, left](const journal::Append&) -> std::optional<Error> {
        if ((*left)-- > 0) return std::nullopt;
        crashed = true;
        return Error{ErrorCode::kUnavailable, "the process is gone", {}, {}};
      };
    bool sent = false;
    for (int round = 0; round < 5'000; ++round) {
      if (crashed) {
        world.stop();
        world.faults.refuse = nullptr;
        crashed = false;
        world.start();
      }
      if (!sent) sent = world.send(key, "the newest").has_value();
      if (sent && !crashed && world.view(key)->status == SessionStatus::kIdle) break;
      world.pause(1);
    }
    world.faults.refuse = nullptr;
    EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
    EXPECT_THAT(world.run(world.journal->effects(key)).value(), IsEmpty());
    if (expected.empty()) expected = last_context();
    EXPECT_EQ(last_context(), expected);
    EXPECT_EQ(last_context().back(), "user the newest");
    EXPECT_LE(summaries, 2);
  }
}

TEST_P(CompactionTest, RefusalsOfTheStoreAreOvercome) {
  for (journal::Kind kind : {journal::kCompactionFinished, journal::kCompactionStarted}) {
    summaries = 0;
    SessionKey key = nearly_full();
    auto left = std::make_shared<int>(2);
    world.faults.refuse = [=](const journal::Append& append) -> std::optional<Error> {
      for (const journal::EntryDraft& entry : append.entries)
        if (entry.kind == kind && (*left)-- > 0)
          return Error{ErrorCode::kUnavailable, "planted", {}, {}};
      return std::nullopt;
    };
    for (int tries = 0; tries < 5 && !world.send(key, "the newest"); ++tries) {
    }
    world.wait_for(key, SessionStatus::kIdle);
    world.faults.refuse = nullptr;
    EXPECT_EQ(last_turn(key).status, TurnStatus::kCompleted);
    EXPECT_EQ(summaries, 1) << "no summary is written twice";
  }
}

TEST_P(CompactionTest, ARejoinedStreamGivesTheSameEvents) {
  SessionKey key = nearly_full();
  say(key, "the newest");
  ASSERT_EQ(summaries, 1);
  std::vector<std::string> before = world.history(key);
  world.restart();
  EXPECT_EQ(world.history(key), before);
}

TEST_P(CompactionTest, ASnapshotAtAnyEntryFoldsOnToTheSame) {
  SessionKey key = nearly_full();
  summary_answer =
      Answer{.chunks = {},
             .failure = models::ModelFailure{.code = "context_length_exceeded", .message = "no"}};
  say(key, "in vain");
  EXPECT_GT(summaries, 1);
  summary_answer.reset();
  say(key, "the newest");
  journal::EntryQuery query{.key = key, .limit = 100'000};
  auto entries = world.run(world.journal->read(query)).value();
  SessionState whole;
  whole.key = key;
  for (const journal::Entry& entry : entries) {
    auto restored = from_snapshot(key, {whole.head, kSnapshotFormat, to_snapshot(whole)});
    ASSERT_TRUE(restored);
    ASSERT_TRUE(apply(whole, entry));
    ASSERT_TRUE(apply(*restored, entry));
    EXPECT_EQ(to_snapshot(*restored), to_snapshot(whole)) << "at " << entry.seq;
  }
  EXPECT_NE(whole.summary.seq, 0u);
  EXPECT_TRUE(from_snapshot(key, {whole.head, 2, to_snapshot(whole)})) << "older ones are read";
  EXPECT_FALSE(from_snapshot(key, {whole.head, kSnapshotFormat + 1, to_snapshot(whole)}));
}

TEST_P(CompactionTest, WhatAnOldProgramWroteFoldsAsBefore) {
  auto body = decode<ModelCallStartedBody>(
      R"({"v":1,"turn":2,"attempt":1,"provider":"p","model":"m","key":"k","context_through":4,)"
      R"("decision":{"verdict":"allow","rule":"default"}})");
  ASSERT_TRUE(body);
  EXPECT_FALSE(body->compaction);
  EXPECT_EQ(encode(*body).find("compaction"), std::string::npos);
  SessionKey key = create("hello", {.model = "fake-model"});
  world.wait_for(key, SessionStatus::kIdle);
  journal::EntryQuery query{.key = key, .limit = 100};
  for (const journal::Entry& entry : world.run(world.journal->read(query)).value())
    EXPECT_EQ(entry.body.find("compact"), std::string::npos)
        << "nothing changes where nothing is compacted";
}

// ---- pieces -----------------------------------------------------------------------------------

TEST(ShortenedTextTest, KeepsBeginningAndEndAndWholeCharacters) {
  EXPECT_EQ(shortened_text("short", 64), "short");
  std::string text = "begin" + std::string(500, 'x') + "end";
  std::string cut = shortened_text(text, 100);
  EXPECT_LE(cut.size(), 100u);
  EXPECT_THAT(cut, StartsWith("begin"));
  EXPECT_THAT(cut, testing::EndsWith("end"));
  EXPECT_THAT(cut, HasSubstr("408 bytes left out"));
  std::string umlauts;
  for (int i = 0; i < 300; ++i) umlauts += "\xc3\xa4";
  for (std::size_t bytes = 64; bytes < 80; ++bytes)
    EXPECT_TRUE(is_valid_utf8(shortened_text(umlauts, bytes))) << bytes;
}

TEST(ContextLimitsTest, AnAnswerHasItsRoomAndAnUnknownWindowNone) {
  models::PoolEntry pool{.name = "p", .provider = "p"}, wide{.name = "w", .provider = "p"};
  wide.context_window = 100'000;
  models::Resolved model{.pools = {{&pool, {}}}};
  EXPECT_EQ(limits_of(model).window, 0);
  model.context_window = 4096;
  EXPECT_EQ(limits_of(model).input, 3072);
  model.max_output_tokens = 100;
  EXPECT_EQ(limits_of(model).input, 3996);
  model.max_output_tokens = 1 << 20;
  EXPECT_EQ(limits_of(model).input, 2048);
  model.max_output_tokens = 0;
  model.pools.push_back({&wide, {}});
  EXPECT_EQ(limits_of(model).window, 100'000);
  EXPECT_EQ(limits_of(model).input, 100'000 - kExpectedAnswerTokens);
}

}  // namespace
}  // namespace perdure::engine
