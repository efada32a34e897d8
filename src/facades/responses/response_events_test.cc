#include "facades/responses/response_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "facades/responses/limits.h"

namespace perdure::facades::responses {
namespace {

using engine::EventType;
using engine::ItemStatus;
using engine::ItemType;
using engine::ItemView;
using engine::SessionEvent;
using testing::ElementsAre;

class ResponseEventsTest : public testing::Test {
 protected:
  ResponseEventsTest() { begin(); }

  void begin(std::string_view background = "false") {
    events = {};
    engine::ResponseView view{.session = session, .seq = 3, .created = 5000};
    view.request = R"({"members":{"model":"m"},"encrypted_reasoning":true,"background":)" +
                   std::string(background) + "}";
    feed({.type = EventType::kResponseBegun,
          .response = std::make_shared<const engine::ResponseView>(view)});
  }
  void feed(SessionEvent event) { ASSERT_TRUE(events.feed(event)); }
  void end(engine::TurnStatus status, std::optional<engine::FailureInfo> error = {}) {
    engine::ResponseView view{.session = session, .seq = 3, .created = 5000, .completed = 7000};
    view.status = status;
    view.error = std::move(error);
    view.usage = models::TokenUsage{10, 4, 5, 1};
    feed({.type = EventType::kResponseEnded,
          .response = std::make_shared<const engine::ResponseView>(view)});
  }
  static ItemView message(ItemStatus status, std::string text = {}) {
    ItemView item{.id = "msg_1", .type = ItemType::kAssistantMessage, .status = status};
    if (!text.empty()) item.parts = {text};
    return item;
  }
  static SessionEvent of_item(EventType type, ItemView item, bool durable = true) {
    return {.type = type, .durable = durable, .item = item, .item_id = item.id, .output_index = 0};
  }
  static SessionEvent delta(std::string text, std::uint32_t ordinal) {
    return {.type = EventType::kTextDelta,
            .durable = false,
            .ordinal = ordinal,
            .item_id = "msg_1",
            .text = std::move(text)};
  }
  std::vector<std::string> types() {
    std::vector<std::string> all;
    std::int64_t expected = 0;
    for (const NumberedEvent& event : events.take()) {
      if (event.number < kNumbersOfLostCall) EXPECT_EQ(event.number, expected++);
      all.emplace_back(event.type.substr(sizeof("response.") - 1));
    }
    return all;
  }
  json::object response() { return parse_json(events.response())->get_object(); }

  SessionId session{"sess_0123456789abcdefghijklmnop"};
  ResponseEvents events;
};

TEST_F(ResponseEventsTest, TellsAStreamedMessageInTheProtocolsOrder) {
  feed(of_item(EventType::kItemAdded, message(ItemStatus::kInProgress), false));
  feed(delta("Hel", 2));
  feed(delta("lo", 3));
  feed({.type = EventType::kTextDone, .item_id = "msg_1", .text = "Hello"});
  feed(of_item(EventType::kItemDone, message(ItemStatus::kCompleted, "Hello")));
  end(engine::TurnStatus::kCompleted);
  EXPECT_THAT(types(),
              ElementsAre("created", "in_progress", "output_item.added", "content_part.added",
                          "output_text.delta", "output_text.delta", "output_text.done",
                          "content_part.done", "output_item.done", "completed"));
  json::object object = response();
  EXPECT_EQ(get_string(object, "id"), "resp_0123456789abcdefghijklmnop00000003");
  EXPECT_EQ(get_string(object, "status"), "completed");
  EXPECT_EQ(get_int(object, "completed_at"), 7);
  EXPECT_EQ(get_int(get_object(object, "usage"), "total_tokens"), 15);
  EXPECT_EQ(get_array(object, "output").size(), 1u);
}

TEST_F(ResponseEventsTest, TellsNothingTwiceToOneThatWasTooSlow) {
  feed(of_item(EventType::kItemAdded, message(ItemStatus::kInProgress), false));
  feed(delta("Hel", 2));
  feed(of_item(EventType::kItemAdded, message(ItemStatus::kInProgress), false));
  feed(delta("Hel", 2));
  feed(delta("lo", 3));
  EXPECT_THAT(types(), ElementsAre("created", "in_progress", "output_item.added",
                                   "content_part.added", "output_text.delta", "output_text.delta"));
}

TEST_F(ResponseEventsTest, GivesACallWithItsArgumentsAtOnce) {
  ItemView call{.id = "fc_1", .type = ItemType::kFunctionCall, .status = ItemStatus::kInProgress};
  call.call_id = "c1";
  call.name = "look";
  call.arguments = R"({"a":1})";
  feed(of_item(EventType::kItemAdded, call));
  end(engine::TurnStatus::kCompleted);
  EXPECT_THAT(types(), ElementsAre("created", "in_progress", "output_item.added",
                                   "function_call_arguments.delta", "function_call_arguments.done",
                                   "output_item.done", "completed"));
  const json::object shown = get_array(response(), "output").at(0).get_object();
  EXPECT_EQ(get_string(shown, "arguments"), R"({"a":1})");
  EXPECT_EQ(get_string(shown, "status"), "completed");
}

TEST_F(ResponseEventsTest, TellsARefusalAsOne) {
  feed(of_item(EventType::kItemAdded, message(ItemStatus::kInProgress)));
  feed({.type = EventType::kTextDone, .item_id = "msg_1", .text = "No."});
  ItemView refused = message(ItemStatus::kCompleted, "No.");
  refused.refusal = true;
  feed(of_item(EventType::kItemDone, refused));
  EXPECT_THAT(types(), ElementsAre("created", "in_progress", "output_item.added",
                                   "content_part.added", "refusal.delta", "refusal.done",
                                   "content_part.done", "output_item.done"));
}

// A client that adds the stream up must not find a refusal in a part that it was told is text.
TEST_F(ResponseEventsTest, GivesARefusalThatWasStreamedAPartOfItsOwn) {
  feed(of_item(EventType::kItemAdded, message(ItemStatus::kInProgress), false));
  feed(delta("No.", 2));
  feed({.type = EventType::kTextDone, .item_id = "msg_1", .text = "No."});
  ItemView refused = message(ItemStatus::kCompleted, "No.");
  refused.refusal = true;
  feed(of_item(EventType::kItemDone, refused));
  EXPECT_THAT(types(), ElementsAre("created", "in_progress", "output_item.added",
                                   "content_part.added", "output_text.delta", "output_text.done",
                                   "content_part.done", "content_part.added", "refusal.delta",
                                   "refusal.done", "content_part.done", "output_item.done"));
}

// Whoever saw pieces of the lost message must not take what follows for something seen before.
TEST_F(ResponseEventsTest, LeavesRoomForWhatALostCallHasShown) {
  feed(of_item(EventType::kItemAdded, message(ItemStatus::kInProgress), false));
  for (std::uint32_t n = 0; n < 50; ++n) feed(delta("x", 2 + n));
  feed(of_item(EventType::kItemDone, message(ItemStatus::kIncomplete, "xx")));
  const std::int64_t live = events.take().back().number;
  EXPECT_TRUE(get_array(response(), "output").empty());

  begin();  // read again from the log, which does not have the pieces
  feed(of_item(EventType::kItemDone, message(ItemStatus::kIncomplete, "xx")));
  EXPECT_EQ(events.take().back().number, live);
}

TEST_F(ResponseEventsTest, SaysWhyItIsIncompleteOrFailed) {
  end(engine::TurnStatus::kFailed, engine::FailureInfo{"max_output_tokens", "cut"});
  EXPECT_THAT(types().back(), "incomplete");
  EXPECT_EQ(get_string(get_object(response(), "incomplete_details"), "reason"),
            "max_output_tokens");
  begin();
  end(engine::TurnStatus::kFailed, engine::FailureInfo{"server_error", "broken"});
  EXPECT_THAT(types().back(), "failed");
  EXPECT_EQ(get_string(get_object(response(), "error"), "code"), "server_error");
}

TEST_F(ResponseEventsTest, BeginsQueuedInTheBackground) {
  begin("true");
  EXPECT_THAT(types(), ElementsAre("created", "queued", "in_progress"));
  EXPECT_EQ(get_string(parse_json(events.queued())->get_object(), "status"), "queued");
}

}  // namespace
}  // namespace perdure::facades::responses
