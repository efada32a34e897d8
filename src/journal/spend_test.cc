// What a store promises of money: in the append or not at all, sums that add up, budgets that hold.
#include "journal/spend.h"

#include <limits>

#include "base/json.h"
#include "journal/testing/store_fixture.h"

namespace perdure::journal {
namespace {

using testing::append_of;
using testing::code_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::key_of;

constexpr UnixMillis kDay = 24LL * 3600 * 1000;

TEST(SpendDays, AreUtcCalendarDays) {
  EXPECT_EQ(day_of(0), "1970-01-01");
  EXPECT_EQ(day_of(kDay - 1), "1970-01-01");
  EXPECT_EQ(day_of(*parse_day("2024-02-29") + 5), "2024-02-29");
  for (const char* text : {"", "2023-02-29", "2024-13-01", "2024-1-01", "2024-01-01 ", "20240101",
                           "2024-00-10", "-024-01-01"})
    EXPECT_EQ(parse_day(text), std::nullopt) << text;
  const UnixMillis time = *parse_day("2024-02-29") + 17 * 3600 * 1000;
  EXPECT_EQ(day_of(window_start(BudgetWindow::kDay, time)), "2024-02-29");
  EXPECT_EQ(day_of(window_start(BudgetWindow::kMonth, time)), "2024-02-01");
  EXPECT_EQ(window_start(BudgetWindow::kTotal, time), 0);
}

class SpendTest : public testing::StoreTest {
 protected:
  static Payer payer(std::string workstream = "") {
    return {std::move(workstream), "agt_1", "large", "upstream"};
  }
  static Reservation reserve(std::uint64_t call, Money amount, Payer of = payer()) {
    return {call, amount, std::move(of)};
  }
  static Settlement settle(std::uint64_t call, Money reserved, Money cost, Payer of = payer()) {
    return {call, reserved, std::move(of), {.calls = 1, .input = 10, .output = 5, .cost = cost}};
  }
  Append spending(SessionKey key, std::uint64_t head, std::vector<Settlement> settlements,
                  std::vector<Reservation> reservations) {
    Append append = append_of(std::move(key), head);
    append.settle = std::move(settlements);
    append.reserve = std::move(reservations);
    append.time = env_.now();
    return append;
  }
  Budget put(BudgetScope scope, std::string id, Money limit,
             BudgetWindow window = BudgetWindow::kTotal) {
    auto kept = loop_.run(store_->put_budget(
        {.project = {"p"}, .scope = scope, .id = std::move(id), .limit = limit, .window = window}));
    if (!kept) throw std::runtime_error(kept.error().message);
    return *kept;
  }
  Budget budget() { return loop_.run(store_->budgets({"p"}))->front(); }
  std::vector<UsageRow> usage(std::vector<UsageBy> by = {}, std::string from = "",
                              std::string to = "") {
    auto rows = loop_.run(store_->usage(
        {.project = {"p"}, .from = std::move(from), .to = std::move(to), .by = std::move(by)}));
    if (!rows) throw std::runtime_error(rows.error().message);
    return *rows;
  }

  const SessionKey one_ = key_of("p", "one");
  const SessionKey two_ = key_of("p", "two");
};

INSTANTIATE_TEST_SUITE_P(Stores, SpendTest, ::testing::Values("sqlite", "postgres", "memory"),
                         [](const auto& info) { return info.param; });

TEST_P(SpendTest, AReservationLivesFromItsAppendToItsSettlement) {
  ASSERT_TRUE(append(spending(one_, 0, {}, {reserve(1, 100)})));
  EXPECT_THAT(*loop_.run(store_->reservations(one_)), ElementsAre(reserve(1, 100)));
  EXPECT_THAT(usage(), IsEmpty());
  reopen();
  EXPECT_THAT(*loop_.run(store_->reservations(one_)), ElementsAre(reserve(1, 100)));
  ASSERT_TRUE(append(spending(one_, 1, {settle(1, 100, 30)}, {})));
  EXPECT_THAT(*loop_.run(store_->reservations(one_)), IsEmpty());
  reopen();
  EXPECT_EQ(usage().front().counts,
            (UsageCounts{.calls = 1, .input = 10, .output = 5, .cost = 30}));
}

TEST_P(SpendTest, ARefusedAppendMovesNoMoney) {
  ASSERT_TRUE(append(spending(one_, 0, {}, {reserve(1, 100)})));
  put(BudgetScope::kProject, "p", 1000);
  EXPECT_EQ(code_of(append(spending(one_, 7, {settle(1, 100, 30)}, {reserve(8, 5)}))),
            ErrorCode::kFenced);
  EXPECT_THAT(*loop_.run(store_->reservations(one_)), ElementsAre(reserve(1, 100)));
  EXPECT_THAT(usage(), IsEmpty());
  EXPECT_EQ(budget().reserved, 100);
  EXPECT_EQ(budget().spent, 0);
}

TEST_P(SpendTest, ABudgetFollowsTheAppendsAndAReopening) {
  put(BudgetScope::kProject, "p", 1000);
  ASSERT_TRUE(append(spending(one_, 0, {}, {reserve(1, 100)})));
  ASSERT_TRUE(append(spending(two_, 0, {}, {reserve(1, 200)})));
  EXPECT_EQ(budget().reserved, 300);
  EXPECT_EQ(budget().left(), 700);
  ASSERT_TRUE(append(spending(one_, 1, {settle(1, 100, 40)}, {reserve(2, 50)})));
  reopen();
  EXPECT_EQ(budget().spent, 40);
  EXPECT_EQ(budget().reserved, 250);
  EXPECT_EQ(budget().left(), 710);
}

TEST_P(SpendTest, AReservationThatDoesNotFitIsRefusedWhole) {
  put(BudgetScope::kProject, "p", 100);
  ASSERT_TRUE(append(spending(one_, 0, {}, {reserve(1, 60)})));
  auto refused = append(spending(two_, 0, {}, {reserve(1, 41)}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(refused.error().reason, "budget");
  EXPECT_EQ(code_of(loop_.run(store_->session(two_))), ErrorCode::kNotFound);
  EXPECT_TRUE(append(spending(two_, 0, {}, {reserve(1, 40)}))) << "to the last of it";
  // What a settlement frees is there for the reservation beside it.
  EXPECT_TRUE(append(spending(one_, 1, {settle(1, 60, 10)}, {reserve(2, 50)})));
  EXPECT_TRUE(append(spending(one_, 2, {settle(2, 50, 500)}, {}))) << "what happened is charged";
  EXPECT_EQ(budget().spent, 510);
  EXPECT_EQ(budget().left(), 0);
}

TEST_P(SpendTest, WhoIsFencedOutHearsThatWhateverTheBudgetsSay) {
  put(BudgetScope::kProject, "p", 100);
  ASSERT_TRUE(append(spending(one_, 0, {}, {reserve(1, 60)})));
  EXPECT_EQ(code_of(append(spending(one_, 7, {}, {reserve(8, 90)}))), ErrorCode::kFenced);
  EXPECT_EQ(code_of(append(spending(one_, 0, {}, {reserve(1, 90)}))), ErrorCode::kFenced);
  EXPECT_EQ(code_of(append(spending(two_, 3, {}, {reserve(4, 90)}))), ErrorCode::kNotFound);
}

TEST_P(SpendTest, AnotherLimitCountsOn) {
  put(BudgetScope::kProject, "p", 1000, BudgetWindow::kDay);
  ASSERT_TRUE(append(spending(one_, 0, {}, {reserve(1, 60)})));
  ASSERT_TRUE(append(spending(one_, 1, {settle(1, 60, 45)}, {reserve(2, 7)})));
  Budget lowered = put(BudgetScope::kProject, "p", 500, BudgetWindow::kDay);
  EXPECT_EQ(lowered.spent, 45);
  EXPECT_EQ(lowered.reserved, 7);
  EXPECT_EQ(lowered, budget());
  env_.advance(kDay);
  Budget next_day = put(BudgetScope::kProject, "p", 500, BudgetWindow::kDay);
  EXPECT_EQ(next_day.spent, 0);
  EXPECT_EQ(next_day.reserved, 7) << "the call still runs";
}

TEST_P(SpendTest, ABudgetCountsWhatWasBeforeIt) {
  ASSERT_TRUE(append(spending(one_, 0, {}, {reserve(1, 100, payer("w"))})));
  ASSERT_TRUE(append(spending(one_, 1, {settle(1, 100, 30, payer("w"))}, {reserve(2, 70)})));
  EXPECT_EQ(put(BudgetScope::kProject, "p", 1000).spent, 30);
  EXPECT_EQ(put(BudgetScope::kProject, "p", 1000).reserved, 70);
  EXPECT_EQ(put(BudgetScope::kWorkstream, "w", 1000).spent, 30);
  EXPECT_EQ(put(BudgetScope::kWorkstream, "w", 1000).reserved, 0);
  EXPECT_EQ(put(BudgetScope::kWorkstream, "other", 1000).spent, 0);
  EXPECT_EQ(put(BudgetScope::kAgent, "agt_1", 1000).reserved, 70);
  ASSERT_TRUE(append(spending(one_, 2, {settle(2, 70, 1)}, {})));
  EXPECT_EQ(loop_.run(store_->budgets({"p"}))->front().reserved, 0);
}

TEST_P(SpendTest, ABudgetIsOfItsWorkstreamOnly) {
  put(BudgetScope::kWorkstream, "w", 10);
  EXPECT_FALSE(append(spending(one_, 0, {}, {reserve(1, 11, payer("w"))})));
  EXPECT_TRUE(append(spending(one_, 0, {}, {reserve(1, 11, payer("v"))})));
  EXPECT_TRUE(append(spending(two_, 0, {}, {reserve(1, 11, payer())})));
  EXPECT_TRUE(append(spending(key_of("q", "one"), 0, {}, {reserve(1, 11, payer("w"))})))
      << "another project's workstream";
}

TEST_P(SpendTest, AWindowBeginsAnewAtMidnight) {
  env_.advance(*parse_day("2026-02-28") + kDay - 1 - env_.now());
  put(BudgetScope::kProject, "p", 100, BudgetWindow::kMonth);
  ASSERT_TRUE(append(spending(one_, 0, {}, {reserve(1, 90)})));
  ASSERT_TRUE(append(spending(one_, 1, {settle(1, 90, 90)}, {})));
  EXPECT_FALSE(append(spending(one_, 2, {}, {reserve(3, 20)})));
  env_.advance(1);
  EXPECT_TRUE(append(spending(one_, 2, {}, {reserve(3, 20)})));
  EXPECT_EQ(budget().spent, 0);
  EXPECT_EQ(put(BudgetScope::kProject, "p", 100, BudgetWindow::kDay).spent, 0);
  EXPECT_EQ(put(BudgetScope::kProject, "p", 100, BudgetWindow::kTotal).spent, 90);
}

TEST_P(SpendTest, UsageIsSummedByWhatIsAskedFor) {
  env_.advance(*parse_day("2026-02-28") - env_.now());
  ASSERT_TRUE(append(spending(one_, 0, {settle(1, 0, 10, payer("w"))}, {})));
  ASSERT_TRUE(append(spending(two_, 0, {settle(1, 0, 20)}, {})));
  env_.advance(kDay);
  ASSERT_TRUE(append(spending(two_, 1, {settle(2, 0, 30)}, {})));
  ASSERT_TRUE(append(spending(two_, 2, {settle(3, 0, 40)}, {})));
  EXPECT_EQ(usage().front().counts.cost, 100);
  EXPECT_EQ(usage().front().counts.calls, 4);
  auto days = usage({UsageBy::kDay});
  ASSERT_EQ(days.size(), 2u);
  EXPECT_THAT(days[1].values, ElementsAre("2026-03-01"));
  EXPECT_EQ(days[1].counts.cost, 70);
  EXPECT_EQ(usage({}, "2026-03-01").front().counts.cost, 70);
  EXPECT_EQ(usage({}, "", "2026-02-28").front().counts.cost, 30);
  EXPECT_THAT(usage({}, "2026-03-02"), IsEmpty());

  UsageQuery query{.project = {"p"}, .by = {UsageBy::kWorkstream, UsageBy::kDay}, .limit = 2};
  auto first = loop_.run(store_->usage(query));
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_EQ(first->size(), 2u);
  query.after = first->back().values;
  auto second = loop_.run(store_->usage(query));
  ASSERT_TRUE(second) << second.error().message;
  ASSERT_EQ(second->size(), 1u);
  EXPECT_THAT(second->front().values, ElementsAre("w", "2026-02-28"));
  EXPECT_THAT(*loop_.run(store_->usage({.project = {"q"}})), IsEmpty());
}

TEST_P(SpendTest, MoneyEndsAtTheLargestNumber) {
  constexpr Money kMost = std::numeric_limits<Money>::max();
  put(BudgetScope::kProject, "p", kMost);
  ASSERT_TRUE(append(spending(one_, 0, {settle(1, 0, kMost - 1)}, {})));
  ASSERT_TRUE(append(spending(one_, 1, {settle(2, 0, kMost - 1)}, {})));
  EXPECT_EQ(usage().front().counts.cost, kMost);
  EXPECT_EQ(usage().front().counts.calls, 2);
  EXPECT_EQ(budget().spent, kMost);
  EXPECT_EQ(budget().left(), 0);
}

TEST_P(SpendTest, ADeletedSessionLeavesItsMoneyAndNotItsName) {
  put(BudgetScope::kProject, "p", 1000);
  ASSERT_TRUE(append(spending(one_, 0, {settle(1, 0, 10)}, {})));
  ASSERT_TRUE(append(spending(two_, 0, {settle(1, 0, 20)}, {})));
  ASSERT_TRUE(append(spending(two_, 1, {}, {reserve(2, 7)})));
  ASSERT_TRUE(loop_.run(store_->delete_session(one_, 1)));
  ASSERT_TRUE(loop_.run(store_->delete_session(two_, 2)));
  auto rows = usage({UsageBy::kSession});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_THAT(rows[0].values, ElementsAre(""));
  EXPECT_EQ(rows[0].counts.cost, 37) << "what was reserved is charged in full";
  EXPECT_EQ(rows[0].counts.estimated_cost, 7);
  EXPECT_EQ(budget().spent, 37);
  EXPECT_EQ(budget().reserved, 0);
}

TEST_P(SpendTest, BudgetsAreListedReplacedAndRemoved) {
  put(BudgetScope::kWorkstream, "w", 1);
  put(BudgetScope::kAgent, "a", 2);
  Budget first = put(BudgetScope::kProject, "p", 3);
  env_.advance(5);
  EXPECT_EQ(put(BudgetScope::kProject, "p", 4).created, first.created);
  reopen();
  auto listed = *loop_.run(store_->budgets({"p"}));
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0].id, "a");
  EXPECT_EQ(listed[1].limit, 4);
  EXPECT_EQ(listed[2].id, "w");
  EXPECT_THAT(*loop_.run(store_->budgets({"q"})), IsEmpty());
  EXPECT_EQ(code_of(loop_.run(store_->delete_budget({"q"}, BudgetScope::kWorkstream, "w"))),
            ErrorCode::kNotFound);
  EXPECT_TRUE(loop_.run(store_->delete_budget({"p"}, BudgetScope::kWorkstream, "w")));
  EXPECT_EQ(code_of(loop_.run(store_->delete_budget({"p"}, BudgetScope::kWorkstream, "w"))),
            ErrorCode::kNotFound);
}

TEST_P(SpendTest, WhatMakesNoSenseIsRefused) {
  EXPECT_EQ(code_of(append(spending(one_, 0, {}, {reserve(2, 1)}))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(append(spending(one_, 0, {}, {reserve(1, -1)}))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(loop_.run(store_->put_budget(
                {.project = {"p"}, .scope = BudgetScope::kProject, .id = "q", .limit = 1}))),
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace perdure::journal
