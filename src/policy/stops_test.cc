#include "policy/stops.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "journal/memory/memory_journal.h"

namespace perdure::policy {
namespace {

class StopsTest : public testing::Test {
 protected:
  template <class T>
  T await(Task<T> task) {
    auto future = boost::asio::co_spawn(loop_, std::move(task), boost::asio::use_future);
    loop_.restart();
    loop_.run();
    return future.get();
  }
  static StopOrder order(StopScope scope, std::string target, std::string project = "alpha") {
    return {{std::move(project)}, scope, std::move(target), "it runs wild", "key_1", false};
  }
  const Stop* find(const Stops& stops, std::string session = "sess_1", std::string agent = "agt_1",
                   std::optional<std::string> workstream = "launch",
                   std::string project = "alpha") const {
    SessionKey key{{std::move(project)}, {std::move(session)}};
    return stops.find({key, agent, workstream});
  }

  FakeEnv env_;
  boost::asio::io_context loop_;
  journal::MemoryJournal store_{env_};
  Stops stops_{env_, loop_.get_executor(), store_};
};

TEST_F(StopsTest, EachScopeStopsWhatBelongsToItAndNothingElse) {
  EXPECT_EQ(find(stops_), nullptr);
  for (auto [scope, target] : {std::pair{StopScope::kSession, "sess_1"},
                               {StopScope::kAgent, "agt_1"},
                               {StopScope::kWorkstream, "launch"},
                               {StopScope::kProject, "alpha"}}) {
    auto stop = await(stops_.add(order(scope, target)));
    ASSERT_TRUE(stop) << stop.error().message;
    EXPECT_NE(find(stops_), nullptr) << target;
    EXPECT_EQ(find(stops_, "sess_1", "agt_1", "launch", "beta"), nullptr) << target;
    bool others_too = scope == StopScope::kProject;
    EXPECT_EQ(find(stops_, "sess_2", "agt_2", std::nullopt) != nullptr, others_too) << target;
    EXPECT_EQ(stops_.count(), 1u);
    ASSERT_TRUE(await(stops_.lift(ProjectId{"alpha"}, stop->id, "key_1", false)));
    EXPECT_EQ(find(stops_), nullptr) << target;
  }
}

TEST_F(StopsTest, AStopSurvivesARestartAndALiftToo) {
  auto kept = await(stops_.add(order(StopScope::kAgent, "agt_1")));
  auto lifted = await(stops_.add(order(StopScope::kSession, "sess_2")));
  ASSERT_TRUE(await(stops_.lift(std::nullopt, lifted->id, "operator", true)));
  Stops again(env_, loop_.get_executor(), store_);
  ASSERT_TRUE(await(again.load()));
  EXPECT_EQ(again.count(), 1u);
  ASSERT_NE(find(again), nullptr);
  EXPECT_EQ(find(again)->id, kept->id);
  EXPECT_EQ(find(again)->order.reason, "it runs wild");
  EXPECT_EQ(find(again, "sess_2", "agt_2"), nullptr);
}

TEST_F(StopsTest, StoppingTwiceIsOneStopAndTheAuditKeepsWhoDidWhat) {
  auto first = await(stops_.add(order(StopScope::kProject, "alpha")));
  env_.advance(5);
  EXPECT_EQ(await(stops_.add(order(StopScope::kProject, "alpha")))->id, first->id);
  EXPECT_EQ(stops_.count(), 1u);
  auto lifted = await(stops_.lift(ProjectId{"alpha"}, first->id, "key_2", false));
  ASSERT_TRUE(lifted);
  env_.advance(5);
  EXPECT_EQ(await(stops_.lift(ProjectId{"alpha"}, first->id, "key_3", false))->lifted_by, "key_2");
  EXPECT_TRUE(await(stops_.list(ProjectId{"alpha"}, false, {}, 10))->data.empty());
  auto listed = await(stops_.list(ProjectId{"alpha"}, true, {}, 10));
  ASSERT_EQ(listed->data.size(), 1u);
  EXPECT_EQ(listed->data[0].order.by, "key_1");
  EXPECT_EQ(listed->data[0].lifted_by, "key_2");
  EXPECT_EQ(listed->data[0].lifted, first->created + 5);
}

TEST_F(StopsTest, WhatTheOperatorStoppedOnlyTheOperatorLifts) {
  StopOrder by_operator = order(StopScope::kProject, "alpha");
  by_operator.by = "operator";
  by_operator.by_operator = true;
  ASSERT_TRUE(await(stops_.add(order(StopScope::kProject, "alpha"))));
  auto stop = await(stops_.add(by_operator));
  EXPECT_EQ(stops_.count(), 2u);
  EXPECT_EQ(find(stops_)->id, stop->id);
  EXPECT_NE(find(stops_)->refusal().message.find("Only the operator"), std::string::npos);
  auto refused = await(stops_.lift(ProjectId{"alpha"}, stop->id, "key_1", false));
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  ASSERT_TRUE(await(stops_.lift(std::nullopt, stop->id, "operator", true)));
  EXPECT_NE(find(stops_), nullptr) << "the project's own is still there";
}

TEST_F(StopsTest, AnotherProjectsStopIsNotFoundAndNotListed) {
  auto stop = await(stops_.add(order(StopScope::kSession, "sess_1")));
  EXPECT_EQ(await(stops_.lift(ProjectId{"beta"}, stop->id, "k", false)).error().code,
            ErrorCode::kNotFound);
  EXPECT_EQ(await(stops_.lift(ProjectId{"beta"}, "stop_no", "k", false)).error().code,
            ErrorCode::kNotFound);
  EXPECT_TRUE(await(stops_.list(ProjectId{"beta"}, true, {}, 10))->data.empty());
  EXPECT_NE(find(stops_), nullptr);
}

TEST_F(StopsTest, ListsPageOverWhatIsInForce) {
  std::vector<std::string> wanted;
  for (int i = 0; i < 9; ++i) {
    auto stop = await(stops_.add(order(StopScope::kSession, "sess_" + std::to_string(i))));
    env_.advance(1);
    if (i % 3 == 0)
      ASSERT_TRUE(await(stops_.lift(std::nullopt, stop->id, "o", true)));
    else
      wanted.push_back(stop->id);
  }
  std::vector<std::string> found;
  std::optional<std::string> after;
  while (true) {
    auto page = await(stops_.list(ProjectId{"alpha"}, false, after, 4));
    ASSERT_TRUE(page);
    for (const Stop& stop : page->data) found.push_back(stop.id);
    if (!page->has_more) break;
    after = found.back();
  }
  EXPECT_EQ(found, wanted);
}

TEST_F(StopsTest, ABadOrderNamesItsMember) {
  auto param = [&](StopOrder order) { return await(stops_.add(std::move(order))).error().param; };
  StopOrder bad = order(StopScope::kSession, "sess_1");
  for (std::string reason :
       {std::string(), std::string("two\nlines"), std::string(513, 'x'), std::string("\xff")}) {
    bad.reason = reason;
    EXPECT_EQ(param(bad), "reason");
  }
  EXPECT_EQ(param(order(StopScope::kAgent, "")), "id");
  EXPECT_EQ(param(order(StopScope::kAgent, "a b")), "id");
  EXPECT_EQ(param(order(StopScope::kWorkstream, std::string(65, 'a'))), "id");
  EXPECT_EQ(stops_.count(), 0u);
}

TEST_F(StopsTest, ThePolicyDeniesWhatIsStoppedAndPassesTheRestOn) {
  AllowAll inner;
  StoppedPolicy policy(stops_, inner);
  Action action{.session = {{"alpha"}, {"sess_1"}}, .agent = "agt_1", .workstream = "launch"};
  EXPECT_EQ(policy.decide(action).verdict, Verdict::kAllow);
  ASSERT_TRUE(await(stops_.add(order(StopScope::kWorkstream, "launch"))));
  Decision decision = policy.decide(action);
  EXPECT_EQ(decision.verdict, Verdict::kDeny);
  EXPECT_EQ(decision.rule, "stop:workstream");
  EXPECT_EQ(decision.reason, "Stopped by an operator: it runs wild.");
  action.workstream.reset();
  EXPECT_EQ(policy.decide(action).rule, "default");
}

}  // namespace
}  // namespace perdure::policy
