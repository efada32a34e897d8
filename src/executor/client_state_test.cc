// How the output of one process is put together from notices and from what process/read answers.
#include "executor/client_state.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace perdure::executor {
namespace {

class FollowedTest : public ::testing::Test {
 protected:
  static OutputPiece piece(std::uint64_t seq, std::string bytes) {
    return {seq, OutputStream::kStdout, std::move(bytes)};
  }
  void notice(std::uint64_t seq, std::string bytes) {
    followed_.take_notice(OutputNotice{"p", piece(seq, std::move(bytes))});
  }

  boost::asio::io_context io_;
  std::string said_;
  Followed followed_{io_.get_executor(), Command{.process_id = "p"},
                     [this](OutputStream, std::string_view bytes) { said_ += bytes; }};
};

TEST_F(FollowedTest, NoticesInOrderAreTakenInOnce) {
  notice(1, "a");
  notice(1, "a");
  notice(2, "b");
  followed_.take_notice(ExitedNotice{"p", 3, 7, false});
  followed_.take_notice(ClosedNotice{"p", 4});
  EXPECT_EQ(said_, "ab");
  EXPECT_TRUE(followed_.exited && followed_.closed && !followed_.behind);
  EXPECT_EQ(followed_.exit_code, 7);
}

TEST_F(FollowedTest, AGapIsFilledBeforeAnythingBehindItIsTakenIn) {
  notice(1, "a");
  notice(3, "c");  // 2 was said to a connection that is gone
  notice(4, "d");
  EXPECT_EQ(said_, "a");
  EXPECT_TRUE(followed_.behind);
  ReadAnswer answer;
  answer.pieces = {piece(2, "b"), piece(3, "c"), piece(4, "d")};
  answer.next_seq = 5;
  followed_.take_read(answer);
  notice(4, "d");
  EXPECT_EQ(said_, "abcd");
  ReadAnswer nothing_more;
  nothing_more.next_seq = 5;
  followed_.take_read(nothing_more);
  EXPECT_FALSE(followed_.behind);
  notice(5, "e");
  EXPECT_EQ(said_, "abcde");
}

TEST_F(FollowedTest, WhatFollowsIsTakenInAlsoWhileItCatchesUp) {
  followed_.behind = true;  // as after every connection
  notice(1, "a");
  EXPECT_EQ(said_, "a") << "a process that talks fast would be out of reach for ever";
  ReadAnswer late;
  late.pieces = {piece(1, "a")};
  late.next_seq = 2;
  followed_.take_read(late);
  notice(2, "b");
  EXPECT_EQ(said_, "ab");
}

TEST_F(FollowedTest, AnEndCountsOnceAllBeforeItHasCome) {
  followed_.behind = true;
  ReadAnswer part;
  part.pieces = {piece(1, "a")};
  part.next_seq = 2;  // there is more: the answer was full
  part.exited = part.closed = true;
  part.exit_code = 3;
  followed_.take_read(part);
  EXPECT_FALSE(followed_.closed);
  EXPECT_TRUE(followed_.behind);
  ReadAnswer rest;
  rest.pieces = {piece(2, "b")};
  rest.next_seq = 5;
  rest.exited = rest.closed = true;
  rest.exit_code = 3;
  followed_.take_read(rest);
  EXPECT_EQ(said_, "ab");
  EXPECT_TRUE(followed_.exited && followed_.closed);
}

TEST_F(FollowedTest, WhatTheExecutorHasLostIsCounted) {
  notice(1, "a");
  followed_.behind = true;
  ReadAnswer answer;
  answer.pieces = {piece(9, "z")};
  answer.next_seq = 10;
  answer.dropped_bytes = 700;
  followed_.take_read(answer);
  EXPECT_EQ(said_, "az");
  EXPECT_EQ(followed_.output.left_out(), 700U);
}

}  // namespace
}  // namespace perdure::executor
