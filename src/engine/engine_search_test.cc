// Reference to earlier sessions: what a search finds of what was journaled, and the tools with
// which a model asks.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::SizeIs;

class SearchTest : public EngineTest {
 protected:
  Result<SearchHits> ask(std::string words, SearchQuestion question = {}) {
    if (question.project.value.empty()) question.project = world.project;
    question.words = std::move(words);
    return world.run(world.search->search(std::move(question)));
  }
  /// "who: text" of what is found.
  std::vector<std::string> found(std::string words, SearchQuestion question = {}) {
    auto hits = ask(std::move(words), std::move(question));
    EXPECT_TRUE(hits) << hits.error().message;
    std::vector<std::string> lines;
    if (!hits) return lines;
    EXPECT_TRUE(hits->complete);
    constexpr const char* kWho[] = {"user", "assistant", "call", "result"};
    for (const SearchHit& hit : hits->data)
      lines.push_back(std::string(kWho[static_cast<int>(hit.kind)]) + ": " + hit.snippet);
    return lines;
  }
  void say(std::string text) { world.outside.answers.push_back({.chunks = {std::move(text)}}); }
  void call(std::string name, std::string arguments) {
    world.outside.answers.push_back(
        {.chunks = {}, .calls = {function_call("c1", std::move(name), std::move(arguments))}});
  }
  /// A session that has ended its turn.
  SessionKey session(std::string text, AgentConfig agent = {}) {
    SessionKey key = world.create(std::move(text), std::move(agent));
    world.wait_for(key, SessionStatus::kIdle);
    return key;
  }
  SessionKey session_with(CreateSession command) {
    if (command.project.value.empty()) command.project = world.project;
    command.principal = "tester";
    if (command.agent.model.empty()) command.agent.model = "fake-model";
    auto created = world.run(world.engine->create_session(std::move(command)));
    if (!created) throw std::runtime_error(created.error().message);
    SessionKey key = created->session->key;
    world.wait_for(key, SessionStatus::kIdle);
    return key;
  }
  static CreateSession with_tools(std::string text) {
    CreateSession command;
    command.server_tools = {"search_sessions", "read_session_turn"};
    command.input.push_back({{std::move(text)}});
    return command;
  }
  json::object tool_output() {
    for (const auto& item : world.outside.requests.back().context)
      if (const auto* output = std::get_if<models::FunctionOutput>(&item)) {
        auto value = parse_json(output->output);
        if (!value) throw std::runtime_error(output->output);
        return value->as_object();
      }
    throw std::runtime_error("no tool has answered");
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, SearchTest, all_variants(), variant_name);

TEST_P(SearchTest, WhatWasSaidAndDoneIsFoundWithItsPlace) {
  world.outside.answers.push_back(
      {.chunks = {"Let me look."},
       .calls = {function_call("c1", "lookup", R"({"city":"Zagreb"})")}});
  say("The weather in Zagreb is mild.");
  SessionKey key = world.create("How is the weather in Zagreb?", agent_with({"lookup"}));
  world.wait_for(key, SessionStatus::kRequiresAction);
  EXPECT_THAT(found("zagreb weather"), ElementsAre("user: How is the weather in Zagreb?",
                                                   "call: lookup {\"city\":\"Zagreb\"}"))
      << "also of a turn that waits";
  auto pending = world.view(key)->required_actions.at(0);
  ASSERT_TRUE(world.answer(key, pending, "14 degrees"));
  world.wait_for(key, SessionStatus::kIdle);

  EXPECT_THAT(found("degrees"), ElementsAre("result: lookup: 14 degrees"));
  auto hits = ask("mild");
  ASSERT_THAT(hits->data, SizeIs(1));
  const SearchHit& hit = hits->data[0];
  EXPECT_EQ(hit.session, key.session.value);
  EXPECT_EQ(hit.turn, world.items(key).back().turn_id);
  EXPECT_EQ(hit.item, world.items(key).back().id);
  EXPECT_EQ(hit.agent, world.view(key)->agent->id);
  EXPECT_GT(hit.time, 0);
  std::vector<std::string> ids;
  for (const ItemView& item : world.items(key)) ids.push_back(item.id);
  auto all = ask("zagreb look degrees weather");
  for (const SearchHit& one : all->data) EXPECT_THAT(ids, Contains(one.item));
  EXPECT_THAT(all->data, SizeIs(5));
}

TEST_P(SearchTest, NothingIsLostWithTheProcessBetweenAppendAndIndex) {
  say("first answer");
  SessionKey key = session("a first question");
  EXPECT_THAT(found("question"), SizeIs(1));
  say("second answer");
  ASSERT_TRUE(world.send(key, "a second question"));
  world.wait_for(key, SessionStatus::kIdle);
  world.restart();  // nothing has indexed it, and the next process was told nothing
  EXPECT_THAT(found("question"), SizeIs(2));
  EXPECT_THAT(found("answer"), SizeIs(2));
  world.restart();
  EXPECT_THAT(found("question answer"), SizeIs(4));
}

TEST_P(SearchTest, TheIndexerKeepsUpByItself) {
  say("before it began");
  session("apples");
  auto running = world.begin(World::ended(world.search->run()));
  auto behind = [&] {
    auto lag = world.run(world.journal->search_lag(std::nullopt, std::nullopt, 10));
    return lag->size();
  };
  while (behind() > 0) world.pause(20);
  say("while it runs");
  session("pears");
  while (behind() > 0) world.pause(20);
  EXPECT_THAT(found("pears"), ElementsAre("user: pears"));
  world.finish(world.begin(World::ended(world.search->drain())));
  EXPECT_TRUE(running->ended());
}

TEST_P(SearchTest, ALogOfManyEntriesIsIndexedPieceByPiece) {
  SessionKey key = session("start");
  for (int i = 0; i < 120; ++i) {
    say("reply number " + std::to_string(i));
    ASSERT_TRUE(world.send(key, "say " + std::to_string(i)));
    world.wait_for(key, SessionStatus::kIdle);
  }
  EXPECT_THAT(found("77"), SizeIs(2));
  SearchQuestion many;
  many.limit = 100;
  EXPECT_THAT(found("reply", many), SizeIs(kSearchCandidates)) << "the newest";
  EXPECT_THAT(found("reply 0"), Contains("assistant: reply number 0"));
}

TEST_P(SearchTest, ScopesAndPagesAreKept) {
  CreateSession elsewhere;
  elsewhere.project = {"other"};
  elsewhere.input.push_back({{"fish for others"}});
  session_with(std::move(elsewhere));
  CreateSession launch;
  launch.workstream = "launch";
  launch.agent.id = "agent_launch";
  launch.input.push_back({{"fish at launch"}});
  SessionKey launched = session_with(std::move(launch));
  session("fish here");
  EXPECT_THAT(found("fish"), IsSupersetOf({"user: fish at launch", "user: fish here"}));
  EXPECT_THAT(found("fish"), SizeIs(2));
  SearchQuestion other;
  other.project = {"other"};
  EXPECT_THAT(found("fish", other), ElementsAre("user: fish for others"));
  other.project = {"never"};
  EXPECT_THAT(found("fish", other), IsEmpty());
  SearchQuestion scoped;
  scoped.workstream = "launch";
  EXPECT_THAT(found("fish", scoped), ElementsAre("user: fish at launch"));
  scoped = {.agent = "agent_launch"};
  EXPECT_THAT(found("fish", scoped), ElementsAre("user: fish at launch"));
  scoped = {.but = launched.session};
  EXPECT_THAT(found("fish", scoped), ElementsAre("user: fish here"));

  SearchQuestion page{.limit = 1};
  auto first = ask("fish", page);
  EXPECT_TRUE(first->has_more);
  page.after = first->data.at(0).item;
  auto second = ask("fish", page);
  EXPECT_FALSE(second->has_more);
  ASSERT_THAT(second->data, SizeIs(1));
  EXPECT_NE(second->data[0].item, first->data[0].item);
  page.after = second->data[0].item;
  EXPECT_THAT(ask("fish", page)->data, IsEmpty());
  page.after = "msg_nothing";
  EXPECT_EQ(ask("fish", page).error().param, "after");
}

TEST_P(SearchTest, ADeletedSessionIsGone) {
  say("the password is swordfish");
  SessionKey key = session("what is it?");
  EXPECT_THAT(found("swordfish"), SizeIs(1));
  ASSERT_TRUE(world.run(world.engine->delete_session(key)));
  EXPECT_THAT(found("swordfish"), IsEmpty());
}

TEST_P(SearchTest, QuestionsThatAreNoneAreRefused) {
  for (const std::string& words :
       {std::string(), std::string("\"*()' --"), std::string("\0\0", 2), std::string(10'240, 'a')})
    EXPECT_EQ(ask(words).error().param, "q") << words.substr(0, 10);
  session("NEAR to 'the' end: a* OR b -c");
  for (const std::string& words : {"NEAR(the end)", "the", "'; DROP TABLE end", "a* OR b", "\"end"})
    EXPECT_THAT(found(words), SizeIs(1)) << words;
  EXPECT_THAT(found(std::string("end\0\xff", 5)), SizeIs(1));
}

// ---- the tools ----------------------------------------------------------------------------------

TEST_P(SearchTest, AFreshSessionFindsAnEarlierOneAndReadsItsTurn) {
  say("We chose port 8443 for staging.");
  SessionKey earlier = session("Which port did we choose for staging?");
  const std::string turn = world.items(earlier).front().turn_id;

  call("search_sessions", R"({"query":"staging port"})");
  SessionKey fresh = session_with(with_tools("What was the staging port again?"));
  std::vector<std::string> offered;
  for (const auto& tool : world.outside.requests.back().tools) offered.push_back(tool.name);
  EXPECT_THAT(offered, ElementsAre("search_sessions", "read_session_turn"));
  json::object output = tool_output();
  const json::array& results = output.at("results").as_array();
  ASSERT_THAT(results, SizeIs(2)) << "not what was said in this session";
  for (const json::value& result : results) {
    EXPECT_EQ(result.at("session_id").as_string(), earlier.session.value);
    EXPECT_EQ(result.at("turn_id").as_string(), turn);
  }

  call("read_session_turn",
       R"({"session_id":")" + earlier.session.value + R"(","turn_id":")" + turn + "\"}");
  session_with(with_tools("Read it."));
  output = tool_output();
  ASSERT_THAT(output.at("items").as_array(), SizeIs(2));
  EXPECT_EQ(output.at("items").at(1).at("text").as_string(), "We chose port 8443 for staging.");
  EXPECT_EQ(output.at("items").at(0).at("who").as_string(), "user");

  // What was found is not found again because it was found.
  for (const std::string& line : found("8443")) EXPECT_THAT(line, Not(HasSubstr("results")));
  EXPECT_THAT(found("8443"), SizeIs(1));
  world.restart();
  EXPECT_THAT(found("8443"), SizeIs(1));
}

TEST_P(SearchTest, WhoWasNotGivenTheToolsDoesNotHaveThem) {
  session("a secret");
  call("search_sessions", R"({"query":"secret"})");
  SessionKey key = session("try it");
  EXPECT_THAT(world.outside.requests.back().tools, IsEmpty());
  EXPECT_THAT(last_context().back(), HasSubstr("There is no tool named"));
}

TEST_P(SearchTest, ATurnThatMayNotBeSeenIsLikeOneThatNeverWas) {
  CreateSession elsewhere;
  elsewhere.project = {"other"};
  elsewhere.input.push_back({{"for others"}});
  SessionKey other = session_with(std::move(elsewhere));
  SessionKey earlier = session("hello");
  const std::string turn = world.items(other).front().turn_id;
  const std::string own = world.items(earlier).front().turn_id;
  const std::vector<std::pair<std::string, std::string>> asked = {
      {other.session.value, turn},
      {earlier.session.value, turn},
      {earlier.session.value, "turn_nothing"},
      {"sess_" + std::string(26, 'a'), own}};
  for (const auto& [session_id, turn_id] : asked) {
    call("read_session_turn",
         R"({"session_id":")" + session_id + R"(","turn_id":")" + turn_id + "\"}");
    session_with(with_tools("read"));
    EXPECT_THAT(last_context().back(), HasSubstr("There is no such turn in an earlier session."));
  }
  call("search_sessions", R"({"query":"others"})");
  session_with(with_tools("search"));
  EXPECT_THAT(tool_output().at("results").as_array(), IsEmpty());
  for (const char* wrong :
       {"{}", R"({"query":7})", R"({"query":"x","limit":99})", R"({"query":"!"})"}) {
    call("search_sessions", wrong);
    session_with(with_tools("search"));
    EXPECT_THAT(last_context().back(), HasSubstr("result ")) << wrong;
  }
}

TEST_P(SearchTest, ASessionOfAWorkstreamMayBeHeldToIt) {
  world.search_within_workstream = true;
  world.restart();
  session("fish outside");
  CreateSession inside;
  inside.workstream = "ws";
  inside.input.push_back({{"fish inside"}});
  SessionKey first = session_with(std::move(inside));
  call("search_sessions", R"({"query":"fish"})");
  CreateSession asking = with_tools("which fish?");
  asking.workstream = "ws";
  session_with(std::move(asking));
  json::object output = tool_output();
  ASSERT_THAT(output.at("results").as_array(), SizeIs(1));
  EXPECT_EQ(output.at("results").at(0).at("session_id").as_string(), first.session.value);

  SessionKey outside = session("more outside");
  call("read_session_turn", R"({"session_id":")" + outside.session.value + R"(","turn_id":")" +
                                world.items(outside).front().turn_id + "\"}");
  asking = with_tools("read");
  asking.workstream = "ws";
  session_with(std::move(asking));
  EXPECT_THAT(last_context().back(), HasSubstr("There is no such turn"));
}

TEST_P(SearchTest, ASessionSeesOfClosedWorkstreamsOnlyItsOwn) {
  const auto in = [](std::optional<std::string> workstream, CreateSession command) {
    command.workstream = std::move(workstream);
    return command;
  };
  const auto saying = [](std::string text) {
    CreateSession command;
    command.input.push_back({{std::move(text)}});
    return command;
  };
  SessionKey open = session_with(in("lake", saying("fish in the lake")));
  SessionKey shut = session_with(in("pond", saying("fish in the pond")));
  // Also whoever made it is a member: everybody who sees the asking session reads what it found.
  for (const char* principal : {"tester", "key_a"})
    ASSERT_TRUE(
        world.run(world.journal->put_row({.project = world.project,
                                          .kind = std::string(journal::kWorkstreamMemberKind),
                                          .id = journal::member_row_id("pond", principal),
                                          .parent = "pond",
                                          .body = "{}"},
                                         0)));
  const auto sessions_found = [&](std::optional<std::string> workstream) {
    call("search_sessions", R"({"query":"fish"})");
    session_with(in(std::move(workstream), with_tools("which?")));
    std::vector<std::string> ids;
    for (const json::value& hit : tool_output().at("results").as_array())
      ids.emplace_back(hit.at("session_id").as_string());
    return ids;
  };
  EXPECT_THAT(sessions_found(std::nullopt), ElementsAre(open.session.value));
  EXPECT_THAT(sessions_found("lake"), ElementsAre(open.session.value));
  EXPECT_THAT(sessions_found("pond"),
              ::testing::UnorderedElementsAre(open.session.value, shut.session.value));
  const auto read_by = [&](std::optional<std::string> workstream) {
    call("read_session_turn", R"({"session_id":")" + shut.session.value + R"(","turn_id":")" +
                                  world.items(shut).front().turn_id + "\"}");
    session_with(in(std::move(workstream), with_tools("read")));
    return last_context().back();
  };
  EXPECT_THAT(read_by(std::nullopt), HasSubstr("There is no such turn in an earlier session."));
  EXPECT_THAT(read_by("lake"), HasSubstr("There is no such turn in an earlier session."));
  EXPECT_THAT(read_by("pond"), HasSubstr("fish in the pond"));
  // The list of sessions, too.
  const auto listed = [&](std::string principal) {
    auto page = world.run(world.engine->sessions(
        world.project,
        {.agent_id = {}, .workstream = "pond", .viewer = journal::Viewer{std::move(principal), {}}},
        {}));
    return page->data.size();
  };
  EXPECT_EQ(listed("key_a"), 3u);
  EXPECT_EQ(listed("key_x"), 0u);
}

TEST_P(SearchTest, APolicyMayForbidTheTool) {
  session("a secret");
  world.policy.denied = "search_sessions";
  call("search_sessions", R"({"query":"secret"})");
  session_with(with_tools("try"));
  EXPECT_THAT(last_context().back(), HasSubstr("denied"));
}

TEST_P(SearchTest, NamesOfToolsAreChecked) {
  CreateSession command = with_tools("x");
  command.project = world.project;
  command.agent.model = "fake-model";
  command.server_tools = {"opaque"};
  EXPECT_EQ(world.run(world.engine->create_session(command)).error().param, "server_tools");
  command.server_tools = {"search_sessions"};
  command.agent = agent_with({"search_sessions"});
  EXPECT_EQ(world.run(world.engine->create_session(command)).error().param, "server_tools");
}

TEST_P(SearchTest, AnOperatorMayGiveTheToolsToAll) {
  World given(GetParam(), {.server_tools = {"search_sessions"}});
  SessionKey key = given.create("hi");
  given.wait_for(key, SessionStatus::kIdle);
  ASSERT_THAT(given.outside.requests.back().tools, SizeIs(1));
  EXPECT_EQ(given.outside.requests.back().tools[0].name, "search_sessions");
  key = given.create("hi", agent_with({"search_sessions"}));
  given.wait_for(key, SessionStatus::kIdle);
  EXPECT_THAT(given.outside.requests.back().tools, SizeIs(1)) << "the client's own goes first";
}

}  // namespace
}  // namespace perdure::engine
