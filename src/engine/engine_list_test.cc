// Properties of what is read back: lists page by page, streams cut anywhere, folds from anywhere.
// One long, varied session is made; then every page size, direction and cut is tried.
#include <gmock/gmock.h>

#include "engine/engine_test_support.h"
#include "engine/fold.h"
#include "engine/session_state.h"

namespace perdure::engine {
namespace {

class EngineListTest : public EngineTest {
 protected:
  models::OutputItem reasoning(std::string text) {
    models::OutputItem item;
    item.type = models::OutputType::kReasoning;
    item.text = std::move(text);
    return item;
  }
  models::OutputItem second_message(std::string text) {
    models::OutputItem item;
    item.text = std::move(text);
    return item;
  }

  /// Several turns: several items in one entry, calls of the client and of the server, an abandoned
  /// message, a cancelled call, a failed turn.
  SessionKey varied_session() {
    using models::ModelFailure;
    world.outside.answers.push_back(
        {.chunks = {"Let ", "me look."},
         .calls = {reasoning("thought"), second_message("again"),
                   function_call("c1", "look", R"({"at":1})"),
                   function_call("c2", "look", R"({"at":2})"), function_call("c3", "opaque", "{}"),
                   function_call("c4", "nobody", "{}")}});
    world.outside.answers.push_back({.chunks = {"It is ", "blue."}});
    SessionKey key = world.create("what colour?", agent_with({"look"}));
    world.wait_for(key, SessionStatus::kRequiresAction);
    world.pause(5);
    for (const PendingCall& call : world.view(key)->required_actions)
      EXPECT_TRUE(world.answer(key, call, "seen " + call.call_id));
    world.wait_for(key, SessionStatus::kIdle);

    ModelFailure busy{.code = "server_overloaded", .message = "busy", .retryable = true};
    world.outside.answers.push_back({.chunks = {"half an"}, .failure = busy});
    world.outside.answers.push_back({.chunks = {"a whole answer"}});
    EXPECT_TRUE(world.send(key, "again"));
    world.until([&] { return world.engine->counters().model_calls_abandoned == 1; });
    world.env.advance(60'000);
    world.engine->check_timers();
    world.wait_for(key, SessionStatus::kIdle);

    world.outside.answers.push_back(
        {.chunks = {"calling"}, .calls = {function_call("c5", "look", "{}")}});
    EXPECT_TRUE(world.send(key, "third"));
    world.wait_for(key, SessionStatus::kRequiresAction);
    EXPECT_TRUE(world.run(world.engine->submit(key, cancel(), std::nullopt)));

    ModelFailure wrong{.code = "invalid_request", .message = "no"};
    world.outside.answers.push_back({.chunks = {"cut"}, .failure = wrong});
    EXPECT_TRUE(world.send(key, "fourth"));
    world.wait_for(key, SessionStatus::kIdle);
    for (int i = 0; i < 25; ++i) {  // past a snapshot
      EXPECT_TRUE(world.send(key, "turn " + std::to_string(i)));
      world.wait_for(key, SessionStatus::kIdle);
    }
    return key;
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, EngineListTest, all_variants(), variant_name);

TEST_P(EngineListTest, PagesOfItemsAddUpToTheWholeList) {
  SessionKey key = varied_session();
  auto turns = world.run(world.engine->turns(key, Page{{}, 100, true}))->data;
  std::vector<std::optional<std::string>> filters{std::nullopt};
  for (std::size_t i = 0; i < 5; ++i) filters.push_back(turns[i].id);
  for (bool incomplete : {false, true}) {
    for (const auto& filter : filters) {
      auto list = [&](Page page) {
        auto listed = world.run(world.engine->items(key, filter, std::move(page), incomplete));
        EXPECT_TRUE(listed) << listed.error().message;
        return std::move(*listed);
      };
      auto ids = [](const Listed<ItemView>& listed) {
        std::vector<std::string> all;
        for (const ItemView& item : listed.data) all.push_back(item.id);
        return all;
      };
      std::vector<std::string> forward = ids(list({{}, 1000, true}));
      ASSERT_FALSE(forward.empty());
      std::set<std::string> distinct(forward.begin(), forward.end());
      EXPECT_EQ(distinct.size(), forward.size()) << "ids are unique";
      if (filter)
        for (const ItemView& item : list({{}, 1000, true}).data) EXPECT_EQ(item.turn_id, *filter);
      std::vector<std::string> backward(forward.rbegin(), forward.rend());
      EXPECT_EQ(ids(list({{}, 1000, false})), backward);
      std::size_t longest = std::min<std::size_t>(forward.size() + 1, 12);
      for (std::size_t limit = 1; limit <= longest; ++limit) {
        for (bool ascending : {true, false}) {
          std::vector<std::string> paged;
          Page page{{}, limit, ascending};
          while (true) {
            Listed<ItemView> listed = list(page);
            for (const std::string& id : ids(listed)) paged.push_back(id);
            ASSERT_LE(listed.data.size(), limit);
            if (!listed.has_more) break;
            ASSERT_EQ(listed.data.size(), limit);
            page.after = listed.data.back().id;
          }
          EXPECT_EQ(paged, ascending ? forward : backward) << limit;
        }
      }
    }
  }
}

TEST_P(EngineListTest, EveryItemIsACursorAlsoTheIncompleteOnes) {
  SessionKey key = varied_session();
  auto all = world.run(world.engine->items(key, std::nullopt, Page{{}, 1000, true}, true))->data;
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (bool incomplete : {true, false}) {
      std::vector<std::string> expected, listed;
      for (std::size_t k = i + 1; k < all.size(); ++k)
        if (incomplete ||
            (all[k].status != ItemStatus::kIncomplete && all[k].status != ItemStatus::kInProgress))
          expected.push_back(all[k].id);
      auto page = world.run(
          world.engine->items(key, std::nullopt, Page{all[i].id, 1000, true}, incomplete));
      ASSERT_TRUE(page) << all[i].id << " " << page.error().message;
      for (const ItemView& item : page->data) listed.push_back(item.id);
      EXPECT_EQ(listed, expected) << "behind " << all[i].id;
    }
  }
  for (std::string bad :
       {all[3].id + "0", std::string("msg_"), std::string("nonsense"),
        local_id("msg", key.session, {999'999, 0}), local_id("fc", key.session, {2, 7}),
        local_id("msg", {"sess_other000000000000000000000"}, {2, 0})}) {
    auto page = world.run(world.engine->items(key, std::nullopt, Page{bad, 10, true}, true));
    ASSERT_FALSE(page) << bad;
    EXPECT_EQ(page.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(page.error().param, "after");
  }
}

TEST_P(EngineListTest, PagesOfTurnsAddUpToTheWholeList) {
  SessionKey key = varied_session();
  auto ids = [&](Page page) {
    std::vector<std::string> all;
    while (true) {
      auto listed = world.run(world.engine->turns(key, page));
      for (const TurnView& turn : listed->data) {
        all.push_back(turn.id);
        auto found = world.run(world.engine->turn(key, turn.id));
        EXPECT_EQ(found->status, turn.status);
      }
      if (!listed->has_more) return all;
      page.after = all.back();
    }
  };
  std::vector<std::string> forward = ids({{}, 100, true});
  std::vector<std::string> backward(forward.rbegin(), forward.rend());
  EXPECT_EQ(forward.size(), 29u);
  for (std::size_t limit : {1u, 2u, 7u, 28u, 29u, 30u}) {
    EXPECT_EQ(ids({{}, limit, true}), forward);
    EXPECT_EQ(ids({{}, limit, false}), backward);
  }
}

TEST_P(EngineListTest, PagesOfSessionsAddUpToTheWholeList) {
  std::vector<std::string> created;
  for (int i = 0; i < 7; ++i) {
    SessionKey key = world.create("hi");
    world.wait_for(key, SessionStatus::kIdle);
    world.env.advance(1);
    if (i % 3 == 2) {
      ASSERT_TRUE(world.run(world.engine->delete_session(key)));
      continue;
    }
    created.push_back(key.session.value);
  }
  for (std::size_t limit = 1; limit <= 8; ++limit) {
    std::vector<std::string> listed;
    Page page{{}, limit, true};
    while (true) {
      auto sessions = world.run(world.engine->sessions(world.project, {}, page));
      for (const auto& session : sessions->data) listed.push_back(session->key.session.value);
      if (!sessions->has_more) break;
      page.after = listed.back();
    }
    EXPECT_EQ(listed, created) << limit;
  }
}

TEST_P(EngineListTest, AWorkstreamsSessionsAreListedAndItSurvivesSnapshotsAndRestarts) {
  auto create = [&](std::optional<std::string> workstream) {
    CreateSession command;
    command.project = world.project;
    command.agent.model = "fake-model";
    command.workstream = std::move(workstream);
    command.input.push_back({{std::string("hello")}});
    return world.run(world.engine->create_session(std::move(command)))->session->key;
  };
  std::vector<std::string> wanted;
  for (int i = 0; i < 7; ++i) {
    create(std::nullopt);
    create("other");
    wanted.push_back(create("launch").session.value);
    world.env.advance(1);
  }
  SessionKey long_one{world.project, {wanted.front()}};
  for (int i = 0; i < 25; ++i) {  // past a snapshot
    world.wait_for(long_one, SessionStatus::kIdle);
    EXPECT_TRUE(world.send(long_one, "turn " + std::to_string(i)));
  }
  world.wait_for(long_one, SessionStatus::kIdle);
  world.restart();
  EXPECT_EQ(world.view(long_one)->workstream, "launch");
  for (std::size_t limit = 1; limit <= 8; ++limit) {
    std::vector<std::string> found;
    Page page{.limit = limit, .ascending = true};
    while (true) {
      auto listed =
          world.run(world.engine->sessions(world.project, {.workstream = "launch"}, page));
      ASSERT_TRUE(listed);
      for (const auto& view : listed->data) {
        EXPECT_EQ(view->workstream, "launch");
        found.push_back(view->key.session.value);
      }
      if (!listed->has_more) break;
      page.after = found.back();
    }
    EXPECT_EQ(found, wanted) << "pages of " << limit;
  }
}

TEST_P(EngineListTest, AStreamCutAnywhereGivesExactlyTheRest) {
  SessionKey key = varied_session();
  auto read = [&](Place after) {
    std::vector<std::string> ids;
    auto stream = world.run(world.engine->subscribe(key, StreamFrom{after, false}));
    std::uint64_t head = world.view(key)->head;
    std::uint64_t reached = after.seq;
    while (reached < head) {
      auto batch = world.run((*stream)->next());
      if (!batch || !*batch) break;
      for (const auto& event : **batch)
        if (event->durable) {
          ids.push_back(event->id());
          reached = event->place.seq;
        }
      if ((*batch)->empty()) break;
    }
    return ids;
  };
  std::vector<std::string> all = read({0, 0});
  ASSERT_GT(all.size(), 200u);
  for (std::size_t cut = 0; cut + 2 < all.size(); cut += cut < 90 ? 1 : 13) {
    Place place = *parse_event_id(all[cut], key.session);
    if (place.seq == parse_event_id(all.back(), key.session)->seq) break;
    std::vector<std::string> rest(all.begin() + static_cast<long>(cut) + 1, all.end());
    EXPECT_EQ(read(place), rest) << "cut behind " << cut;
  }
}

TEST_P(EngineListTest, ASnapshotAtAnyEntryGivesTheSameStateAndEvents) {
  SessionKey key = varied_session();
  journal::EntryQuery query{.key = key, .limit = 100'000};
  auto entries = world.run(world.journal->read(query)).value();
  SessionState state;
  state.key = key;
  std::vector<std::string> snapshots;
  std::vector<SessionState> states;
  for (const journal::Entry& entry : entries) {
    ASSERT_TRUE(apply(state, entry));
    snapshots.push_back(to_snapshot(state));
    states.push_back(state);
  }
  for (std::size_t at = 0; at < entries.size(); ++at) {
    journal::Snapshot snapshot{entries[at].seq, kSnapshotFormat, snapshots[at]};
    auto restored = from_snapshot(key, snapshot);
    ASSERT_TRUE(restored);
    EXPECT_EQ(to_snapshot(*restored), snapshots[at]) << "at " << at;
    SessionState whole = states[at];
    std::size_t until = std::min(at + 12, entries.size());
    for (std::size_t next = at + 1; next < until; ++next) {
      auto from_whole = apply(whole, entries[next], {.events = true, .replay = true});
      auto from_snapshot = apply(*restored, entries[next], {.events = true, .replay = true});
      ASSERT_TRUE(from_whole && from_snapshot);
      ASSERT_EQ(from_whole->size(), from_snapshot->size());
      for (std::size_t i = 0; i < from_whole->size(); ++i)
        EXPECT_EQ((*from_whole)[i]->id(), (*from_snapshot)[i]->id());
      EXPECT_EQ(to_snapshot(*restored), snapshots[next]);
    }
  }
}

class EngineDamageTest : public EngineListTest {};
INSTANTIATE_TEST_SUITE_P(Stores, EngineDamageTest, testing::Values(Variant::kMemory), variant_name);

TEST_P(EngineDamageTest, NoDamageToABodyBringsTheProcessDown) {
  SessionKey key = varied_session();
  journal::EntryQuery query{.key = key, .limit = 100'000};
  auto entries = world.run(world.journal->read(query)).value();
  entries.resize(std::min<std::size_t>(entries.size(), 60));
  SessionState state;
  state.key = key;
  for (std::size_t at = 0; at < entries.size(); ++at) {
    auto fold_damaged = [&](journal::Kind kind, std::string body) {
      journal::Entry damaged = entries[at];
      damaged.kind = kind;
      damaged.body = std::move(body);
      SessionState after = state;
      (void)items_of(key.session, damaged);
      if (!apply(after, damaged, {.events = true, .replay = true})) return;
      (void)from_snapshot(key, {damaged.seq, kSnapshotFormat, to_snapshot(after)});
      (void)after.view();
      if (at + 1 < entries.size()) (void)apply(after, entries[at + 1], {.events = true});
    };
    const journal::Entry& whole = entries[at];
    for (std::size_t cut = 0; cut < whole.body.size(); cut += 7)
      fold_damaged(whole.kind, whole.body.substr(0, cut));
    for (std::size_t place = 0; place < whole.body.size(); ++place) {
      std::string body = whole.body;
      body[place] = "[{\"9-\xff"[place % 6];
      fold_damaged(whole.kind, body);
    }
    for (const char* body : {"", "null", "1", "[]", "{}", "[1]", "[[1]]", "{\"v\":1}"})
      fold_damaged(whole.kind, body);
    for (journal::Kind kind :
         {0, 1, 2, 10, 11, 20, 21, 22, 30, 40, 41, 42, 43, 60, 61, 62, 100, 101, 102, 999})
      fold_damaged(kind, whole.body);
    ASSERT_TRUE(apply(state, whole));
  }
}

}  // namespace
}  // namespace perdure::engine
