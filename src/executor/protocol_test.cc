#include "executor/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "executor/limits.h"

namespace perdure::executor {
namespace {

using ::testing::HasSubstr;

TEST(ProtocolTest, AStartIsWrittenAsOtherExecutorsReadIt) {
  StartProcess start{"p-1", {"bash", "-lc", "echo \"hi\""}, "/work dir", {{"A", "b"}}, true, false};
  EXPECT_EQ(request_text(7, "process/start", start_params(start)),
            R"({"id":7,"method":"process/start","params":{"processId":"p-1",)"
            R"("argv":["bash","-lc","echo \"hi\""],"cwd":"file:///work%20dir","env":{"A":"b"},)"
            R"("tty":true,"pipeStdin":false,"arg0":null}})");
}

TEST(ProtocolTest, ReadsNotices) {
  auto output = read_incoming(R"({"method":"process/output","params":{"processId":"p","seq":3,)"
                              R"("stream":"stderr","chunk":"aGk="}})");
  ASSERT_TRUE(output.has_value());
  auto* piece = std::get_if<OutputNotice>(&*output);
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->piece.seq, 3U);
  EXPECT_EQ(piece->piece.stream, OutputStream::kStderr);
  EXPECT_EQ(piece->piece.bytes, "hi");
  // An older executor's "closed" has no number; unknown members are no reason to refuse.
  auto closed =
      read_incoming(R"({"method":"process/closed","params":{"processId":"p","new":[1]}})");
  ASSERT_TRUE(closed.has_value());
  EXPECT_FALSE(std::get<ClosedNotice>(*closed).seq.has_value());
  auto other = read_incoming(R"({"method":"http/request/bodyDelta","params":{}})");
  ASSERT_TRUE(other.has_value());
  EXPECT_TRUE(std::holds_alternative<OtherNotice>(*other));
}

TEST(ProtocolTest, ReadsAnswersAndRefusals) {
  auto answer = read_incoming(R"({"id":4,"result":{"running":true}})");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(*read_terminated(*std::get<AnswerMessage>(*answer).result), true);
  auto refused = read_incoming(R"({"id":5,"error":{"code":-32602,"message":"no"}})");
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(std::get<AnswerMessage>(*refused).result.error().message, "no");
}

TEST(ProtocolTest, WhatIsNotTheProtocolIsRefusedWithASentence) {
  struct {
    std::string text;
    const char* says;
  } cases[] = {
      {"", "wrong"},
      {"[]", "no object"},
      {R"({"id":1})", "without 'result'"},
      {R"({"id":"x","result":1})", "neither"},
      {R"({"id":1,"id":2,"result":1})", "twice"},
      {R"({"method":1})", "'method'"},
      {R"({"method":"process/output","params":{"processId":"p","seq":-1,"stream":"stdout","chunk":""}})",
       "'seq'"},
      {R"({"method":"process/output","params":{"processId":"p","seq":1,"stream":"x","chunk":""}})",
       "'stream'"},
      {R"({"method":"process/output","params":{"processId":"p","seq":1,"stream":"pty","chunk":"a"}})",
       "'chunk'"},
      {R"({"method":"process/output","params":{"processId":")" + std::string(300, 'p') +
           R"(","seq":1,"stream":"pty","chunk":""}})",
       "'processId'"},
      {std::string(100, '['), "wrong"},
      {std::string(kMaxMessageBytes + 1, ' '), "too long"},
  };
  for (const auto& each : cases) {
    auto read = read_incoming(each.text);
    ASSERT_FALSE(read.has_value()) << each.text.substr(0, 80);
    EXPECT_EQ(read.error().code, ErrorCode::kUpstream);
    EXPECT_THAT(read.error().message, HasSubstr(each.says));
  }
}

TEST(ProtocolTest, PiecesMustAscend) {
  auto value = parse_json(
      R"({"chunks":[{"seq":2,"stream":"stdout","chunk":""},{"seq":2,"stream":"stdout","chunk":""}],)"
      R"("nextSeq":3,"exited":false,"exitCode":null,"closed":false,"failure":null})");
  EXPECT_FALSE(read_read(*value).has_value());
}

TEST(ProtocolTest, PathsSurviveTheirUri) {
  for (std::string path : {"/", "/a b/ü%/#?", "/x\n", "/plain-1._~"}) {
    EXPECT_EQ(*path_of_uri(file_uri(path)), path);
  }
  EXPECT_EQ(*path_of_uri("/native"), "/native");
  EXPECT_FALSE(path_of_uri("http://x/").has_value());
  EXPECT_FALSE(path_of_uri("file:///a%2").has_value());
}

}  // namespace
}  // namespace perdure::executor
