#include "facades/agents_api/wire_out.h"

#include <gtest/gtest.h>

#include <set>

#include "base/json.h"

namespace perdure::facades::agents_api {
namespace {

const SessionId kSession{"sess_0123456789abcdefghijklmnop"};

engine::SessionView session_view() {
  engine::SessionView view;
  view.key = {{"default"}, kSession};
  engine::AgentConfig agent;
  agent.id = "agt_1";
  agent.model = "m";
  view.agent = std::make_shared<engine::AgentConfig>(std::move(agent));
  view.created = 1'700'000'001'999;
  view.last_active = 1'700'000'002'000;
  return view;
}

TEST(WireOut, ASessionHasEveryMember) {
  EXPECT_EQ(
      session_json(session_view()),
      R"({"id":"sess_0123456789abcdefghijklmnop","object":"agent.session","created_at":1700000001,)"
      R"("last_active_at":1700000002,"status":"idle","error":null,"agent":{"id":"agt_1",)"
      R"("name":null,"model":"m","instructions":null,"tools":[],"reasoning":{"effort":null,)"
      R"("summary":null},"text":{"format":{"type":"text"},"verbosity":"medium"},)"
      R"("service_tier":"auto","multi_agent":{"enabled":false,"max_concurrent_subagents":null}},)"
      R"("environment":{"type":"none"},"required_actions":[],"metadata":{},"usage":null,)"
      R"("vault_ids":[]})");
}

TEST(WireOut, WhatASessionWaitsForAndWasGiven) {
  engine::SessionView view = session_view();
  engine::AgentConfig agent = *view.agent;
  agent.functions.push_back({"add", "Adds.", R"({"type" : "object"})"});
  agent.text_schema = R"({"type":"object", "x": 1.0})";
  agent.reasoning_effort = "low";
  view.agent = std::make_shared<engine::AgentConfig>(agent);
  view.status = engine::SessionStatus::kRequiresAction;
  view.required_actions.push_back({"turn_1", "call_1", "add", R"({"a": 1.50})"});
  view.metadata = {{"k", "v\n"}};
  view.usage = models::TokenUsage{10, 4, 5, 2};
  view.error = engine::FailureInfo{"server_error", "It broke."};
  std::string text = session_json(view);
  auto has = [&](std::string_view part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(has(R"({"type":"function","name":"add","description":"Adds.","parameters":)"
                  R"({"type" : "object"},"async":false,"defer_loading":false})"));
  EXPECT_TRUE(has(R"("format":{"type":"json_schema","schema":{"type":"object", "x": 1.0}})"));
  EXPECT_TRUE(has(R"({"type":"function_call","turn_id":"turn_1","call_id":"call_1","name":"add",)"
                  R"("arguments":{"a": 1.50}})"));
  EXPECT_TRUE(has(R"("metadata":{"k":"v\n"})"));
  EXPECT_TRUE(has(R"("usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},)"
                  R"("output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},)"
                  R"("total_tokens":15})"));
  EXPECT_TRUE(has(R"("status":"requires_action","error":"It broke.")"));
}

TEST(WireOut, ASessionsAgentDoesNotShowItsToolSearch) {
  engine::SessionView view = session_view();
  engine::AgentConfig agent = *view.agent;
  agent.functions = {{"f", "", "{}", true, false}, {"g", "", "{}", false, true}};
  agent.mcp_servers = {{.label = "a", .url = "https://a/", .position = 2}};
  agent.tool_search = 1;
  view.agent = std::make_shared<engine::AgentConfig>(agent);
  auto tools_of = [](std::string_view text) {
    std::vector<std::string> names;
    json::value parsed = parse_json(text).value();
    const json::object& object = parsed.as_object();
    const json::object& owner = object.contains("agent") ? object.at("agent").as_object() : object;
    for (const json::value& tool : owner.at("tools").as_array())
      names.emplace_back(as_view(
          tool.as_object().at(tool.as_object().contains("name") ? "name" : "type").as_string()));
    return names;
  };
  EXPECT_EQ(tools_of(session_json(view)), (std::vector<std::string>{"f", "mcp", "g"}));
  std::string saved;
  ObjectWriter object(saved);
  append_agent_settings(object, agent, ToolSearch::kShown);
  object.end();
  EXPECT_EQ(tools_of(saved), (std::vector<std::string>{"f", "tool_search", "mcp", "g"}));
  EXPECT_NE(saved.find(R"("name":"f","description":"","parameters":{},"async":true,)"
                       R"("defer_loading":false)"),
            std::string::npos);
}

TEST(WireOut, ToolsStandInTheAgentsOrder) {
  engine::SessionView view = session_view();
  engine::AgentConfig agent = *view.agent;
  agent.functions = {{"f", "", "{}"}, {"g", "", "{}"}};
  agent.mcp_servers = {
      {.label = "a", .url = "https://a/", .allowed_tools = {{"x", "y"}}, .position = 0},
      {.label = "b", .url = "https://b/", .required = true, .position = 2}};
  view.agent = std::make_shared<engine::AgentConfig>(agent);
  std::string text = session_json(view);
  auto at = [&](std::string_view part) { return text.find(part); };
  EXPECT_NE(at(R"({"type":"mcp","server_label":"a","transport":{"type":"http",)"
               R"("server_url":"https://a/"},"allowed_tools":["x","y"],)"
               R"("connection_origin":"service","credential_id":null,"request_metadata":{},)"
               R"("required":false})"),
            std::string::npos);
  EXPECT_LT(at(R"("server_label":"a")"), at(R"("name":"f")"));
  EXPECT_LT(at(R"("name":"f")"), at(R"("server_label":"b")"));
  EXPECT_LT(at(R"("server_label":"b")"), at(R"("name":"g")"));
}

TEST(WireOut, AnMcpCallHasEveryMemberAndIsNoFunctionCall) {
  engine::ItemView item;
  item.id = "mcp_1";
  item.turn_id = "turn_1";
  item.type = engine::ItemType::kMcpCall;
  item.status = engine::ItemStatus::kFailed;
  item.call_id = "call_1";
  item.name = "book.seat";
  item.server_label = "desk";
  item.arguments = R"({"seat": 1.50})";
  item.error = "No seat.";
  std::string text;
  append_item(text, item);
  EXPECT_EQ(text, R"({"id":"mcp_1","type":"mcp_call","turn_id":"turn_1","status":"failed",)"
                  R"("server_label":"desk","name":"book.seat","arguments":{"seat": 1.50},)"
                  R"("output":null,"error":"No seat."})");
}

TEST(WireOut, ATurnHasEveryMember) {
  engine::TurnView turn;
  turn.id = "turn_1";
  turn.agent_id = "agt_1";
  turn.session_id = "sess_1";
  turn.created = 5'000;
  std::string text;
  append_turn(text, turn);
  EXPECT_EQ(text, R"({"id":"turn_1","object":"agent.session.turn","session_id":"sess_1",)"
                  R"("agent_id":"agt_1","subagent_id":null,"status":"queued","created_at":5,)"
                  R"("started_at":null,"completed_at":null,"error":null,"usage":null,)"
                  R"("prompt_cache_options":null})");
  turn.status = engine::TurnStatus::kFailed;
  turn.error = engine::FailureInfo{"rate_limit_exceeded", "Slow down."};
  turn.completed = 6'000;
  text.clear();
  append_turn(text, turn);
  EXPECT_NE(text.find(R"("error":{"code":"rate_limit_exceeded","message":"Slow down."})"),
            std::string::npos);
}

std::string item_json(const engine::ItemView& item) {
  std::string out;
  append_item(out, item);
  return out;
}

TEST(WireOut, ItemsHaveTheMembersOfTheirTypes) {
  engine::ItemView item;
  item.id = "i";
  item.turn_id = "t";
  item.parts = {"a"};
  EXPECT_EQ(item_json(item),
            R"({"id":"i","type":"message","turn_id":"t","role":"user","status":"completed",)"
            R"("content":[{"type":"input_text","text":"a"}],"phase":null})");
  item.type = engine::ItemType::kAssistantMessage;
  item.phase = engine::Phase::kFinalAnswer;
  EXPECT_EQ(item_json(item),
            R"({"id":"i","type":"message","turn_id":"t","role":"assistant","status":"completed",)"
            R"("content":[{"type":"output_text","text":"a"}],"phase":"final_answer"})");
  item.type = engine::ItemType::kReasoning;
  EXPECT_EQ(item_json(item), R"({"id":"i","type":"reasoning","turn_id":"t","status":"completed",)"
                             R"("summary":[{"type":"summary_text","text":"a"}]})");
  item.type = engine::ItemType::kFunctionOutput;
  item.call_id = "c";
  EXPECT_EQ(item_json(item),
            R"({"id":"i","type":"function_call_output","turn_id":"t","status":"completed",)"
            R"("call_id":"c","output":null,"error":null})");
  item.output = R"("4\u0032")";
  EXPECT_NE(item_json(item).find(R"("output":"4\u0032","error":null)"), std::string::npos);
}

TEST(WireOut, ArgumentsKeepTheirBytesWhereTheyAreJson) {
  engine::ItemView item;
  item.type = engine::ItemType::kFunctionCall;
  item.arguments = R"({ "n": 1.10e1 })";
  EXPECT_NE(item_json(item).find(R"("arguments":{ "n": 1.10e1 }})"), std::string::npos);
  item.arguments = R"({"a":1,"a":2})";
  EXPECT_NE(item_json(item).find(R"("arguments":"{\"a\":1,\"a\":2}"})"), std::string::npos);
  item.arguments = "";
  EXPECT_NE(item_json(item).find(R"("arguments":""})"), std::string::npos);
}

engine::SessionEvent event_of(engine::EventType type) {
  engine::SessionEvent event;
  event.type = type;
  event.place = {3, 1};
  event.session_id = kSession;
  event.turn_id = "turn_1";
  event.item_id = "msg_1";
  event.output_index = 2;
  event.text = "x";
  event.session = std::make_shared<engine::SessionView>(session_view());
  event.turn = engine::TurnView{.id = "turn_1"};
  event.item = engine::ItemView{.id = "msg_1", .turn_id = "turn_1"};
  event.error = engine::FailureInfo{"sandbox_error", "Gone."};
  return event;
}

std::set<std::string> members_of(engine::EventType type) {
  engine::SessionEvent event = event_of(type);
  if (type > engine::EventType::kSessionFailed) event.session = nullptr;
  std::string text;
  append_event(text, event);
  std::set<std::string> keys;
  for (const auto& member : parse_json(text)->as_object()) keys.emplace(member.key());
  return keys;
}

TEST(WireOut, EventsHaveExactlyTheMembersOfTheirTypes) {
  using enum engine::EventType;
  using Keys = std::set<std::string>;
  EXPECT_EQ(members_of(kSessionIdle), (Keys{"type", "event_id", "session"}));
  EXPECT_EQ(members_of(kError), (Keys{"type", "event_id", "session_id", "error"}));
  EXPECT_EQ(members_of(kTurnCreated), (Keys{"type", "event_id", "session_id", "turn_id", "turn"}));
  EXPECT_EQ(members_of(kTurnFailed),
            (Keys{"type", "event_id", "session_id", "turn_id", "turn", "usage"}));
  EXPECT_EQ(members_of(kItemAdded),
            (Keys{"type", "event_id", "session_id", "turn_id", "item", "output_index"}));
  Keys text{"type",    "event_id",     "session_id",   "turn_id",
            "item_id", "output_index", "content_index"};
  auto with = [&](std::string key) {
    Keys keys = text;
    keys.insert(std::move(key));
    return keys;
  };
  EXPECT_EQ(members_of(kContentPartAdded), with("part"));
  EXPECT_EQ(members_of(kTextDelta), with("delta"));
  EXPECT_EQ(members_of(kTextDone), with("text"));
}

TEST(WireOut, InputItemsHaveNoOutputIndex) {
  engine::SessionEvent event = event_of(engine::EventType::kItemAdded);
  event.session = nullptr;
  event.output_index.reset();
  std::string text;
  append_event(text, event);
  EXPECT_TRUE(parse_json(text)->at("output_index").is_null());
}

TEST(WireOut, ListsNameTheirEnds) {
  engine::Listed<engine::TurnView> turns;
  EXPECT_EQ(list_json(turns),
            R"({"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false})");
  turns.data = {{.id = "a"}, {.id = "b"}};
  turns.has_more = true;
  auto list = parse_json(list_json(turns))->as_object();
  EXPECT_EQ(list.at("first_id"), "a");
  EXPECT_EQ(list.at("last_id"), "b");
  EXPECT_EQ(list.at("has_more"), true);
  EXPECT_EQ(list.at("data").as_array().size(), 2u);
}

}  // namespace
}  // namespace perdure::facades::agents_api
