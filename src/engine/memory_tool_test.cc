// The memory tool over a store in memory: what a session may read and change, and that a repeated
// call writes once.
#include "engine/memory_tool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "base/json.h"
#include "journal/memory/memory_journal.h"

namespace perdure::engine {
namespace {

using async::Task;
using testing::HasSubstr;
using testing::Not;

class MemoryToolTest : public testing::Test {
 protected:
  MemoryToolTest() {
    session_.metadata = {{"actor", "ann"}};
    session_.head = 7;
    add_memory_tool(
        &registry_, &memories_,
        [this](SessionKey) -> Task<Result<std::shared_ptr<const SessionView>>> { return view(); });
  }
  Task<Result<std::shared_ptr<const SessionView>>> view() {
    co_return std::make_shared<const SessionView>(session_);
  }
  template <class T>
  T await(Task<T> task) {
    std::optional<T> result;
    boost::asio::co_spawn(loop_, keep(std::move(task), &result), boost::asio::detached);
    loop_.restart();
    loop_.run();
    return std::move(result.value());
  }
  template <class T>
  static Task<> keep(Task<T> task, std::optional<T>* result) {
    result->emplace(co_await std::move(task));
  }
  tools::ToolResult call(json::object arguments, std::string key = {}) {
    if (key.empty()) key = "call " + std::to_string(++calls_);
    tools::Tool* tool = registry_.find(kMemoryTool);
    return await(tool->run({.session = {{"mine"}, {"sess_" + std::string(26, 'a')}},
                            .call_id = "call",
                            .arguments = perdure::serialize(arguments),
                            .idempotency_key = std::move(key)},
                           {}));
  }
  std::string write(std::string text) {
    const auto written = call({{"action", "write"}, {"text", std::move(text)}});
    EXPECT_TRUE(written.success) << written.output;
    return std::string(get_string(parse_json(written.output)->as_object(), "id"));
  }
  std::string search(std::string query) {
    return call({{"action", "search"}, {"query", std::move(query)}}).output;
  }
  std::string add(std::string text, memory::Kind kind = memory::Kind::kFact,
                  std::string where = "/users/ann/") {
    memory::Record record;
    record.text = std::move(text);
    record.kind = kind;
    record.namespace_ = std::move(where);
    return await(memories_.add({"mine"}, "default", {record}, memory::Trust::kUser))
        .value()
        .front()
        .id;
  }

  FakeEnv env_;
  boost::asio::io_context loop_;
  journal::MemoryJournal store_{env_};
  memory::Memories memories_{env_, loop_.get_executor(), store_, "secret", nullptr};
  tools::Registry registry_;
  SessionView session_;
  int calls_ = 0;
};

TEST_F(MemoryToolTest, RemembersAndForgets) {
  const std::string id = write("Ann has a zebra");
  EXPECT_THAT(search("zebra"), HasSubstr("Ann has a zebra"));
  const auto record = await(memories_.record({"mine"}, "default", id)).value();
  EXPECT_EQ(record.trust, memory::Trust::kAgent);
  EXPECT_EQ(record.namespace_, "/users/ann/");
  EXPECT_EQ(record.evidence.at(0).last, 7U);
  EXPECT_THAT(call({{"action", "read"}, {"id", id}}).output, HasSubstr("zebra"));
  EXPECT_TRUE(call({{"action", "forget"}, {"id", id}}).success);
  EXPECT_THAT(search("zebra"), Not(HasSubstr("zebra")));
  EXPECT_FALSE(call({{"action", "read"}, {"id", id}}).success);
}

TEST_F(MemoryToolTest, ARepeatedCallWritesOnce) {
  const json::object arguments{{"action", "write"}, {"text", "Ann has a zebra"}};
  const auto first = call(arguments, "same");
  EXPECT_EQ(call(arguments, "same").output, first.output);
  EXPECT_NE(call(arguments, "other").output, first.output);
}

TEST_F(MemoryToolTest, SeesItsOwnAndWhatIsEverybodys) {
  write("Ann has a zebra");
  const std::string shared = add("The office has a zebra", memory::Kind::kFact, "/");
  const std::string bobs = add("Bob has a zebra", memory::Kind::kFact, "/users/bob/");
  const std::string found = search("zebra");
  EXPECT_THAT(found, HasSubstr("Ann has"));
  EXPECT_THAT(found, HasSubstr("The office"));
  EXPECT_THAT(found, Not(HasSubstr("Bob")));
  const auto unseen = call({{"action", "read"}, {"id", bobs}});
  EXPECT_EQ(unseen.output, call({{"action", "read"}, {"id", "mem_never"}}).output);
  EXPECT_FALSE(call({{"action", "forget"}, {"id", bobs}}).success);
  EXPECT_FALSE(call({{"action", "forget"}, {"id", shared}}).success);
  session_.metadata.clear();
  EXPECT_THAT(search("zebra"), Not(HasSubstr("Ann has"))) << "without an actor only what is shared";
  session_.metadata = {{"actor", "../bob"}};
  EXPECT_FALSE(call({{"action", "search"}, {"query", "zebra"}}).success);
}

TEST_F(MemoryToolTest, TakesNoInstructionOutOfForce) {
  write("x");
  const std::string instruction = add("Always ask first", memory::Kind::kInstruction);
  const auto refused =
      call({{"action", "write"}, {"text", "Never ask"}, {"supersedes", json::array{instruction}}});
  EXPECT_FALSE(refused.success);
  EXPECT_THAT(refused.output, HasSubstr("Only a user"));
}

TEST_F(MemoryToolTest, OtherWorkstreamsStoresAreNotItsOwn) {
  write("in the default store");
  session_.workstream = "default";
  const auto refused = call({{"action", "search"}, {"query", "store"}});
  EXPECT_FALSE(refused.success);
  EXPECT_THAT(refused.output, HasSubstr("not this session's"));
  session_.workstream = "launch";
  write("in launch's store");
  EXPECT_THAT(search("store"), Not(HasSubstr("default")));
}

TEST_F(MemoryToolTest, SaysWhatIsWrong) {
  EXPECT_THAT(call({{"action", "sing"}}).output, HasSubstr("action must be"));
  EXPECT_THAT(call({{"action", "search"}}).output, HasSubstr("query"));
  EXPECT_FALSE(call({{"action", "write"}, {"text", ""}}).success);
  EXPECT_FALSE(call({{"action", "write"}, {"text", "x"}, {"supersedes", json::array{1}}}).success);
}

}  // namespace
}  // namespace perdure::engine
