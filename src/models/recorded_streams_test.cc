// Every recorded stream of testdata/ must decode to what the file beside it says. A new case is two
// files: anthropic_*.sse, chat_*.sse or responses_*.sse as a server sends it, and .expect. With
// PERDURE_UPDATE_EXPECT=1 in the environment the .expect files are written; read them before you
// commit them.

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "models/anthropic_stream.h"
#include "models/chat_stream.h"
#include "models/responses_stream.h"
#include "models/testing.h"

namespace perdure::models {
namespace {

std::unique_ptr<StreamDecoder> decoder_for(const std::string& file) {
  FailureMapper failures("upstream", "");
  if (file.starts_with("anthropic_"))
    return std::make_unique<AnthropicStream>(
        failures, AnthropicToolNames({{"files.read", "", ""}, {"plain", "", ""}}));
  if (file.starts_with("chat_")) return std::make_unique<ChatStream>(failures);
  return std::make_unique<ResponsesStream>(failures);
}

std::string decoded(const std::string& file, const std::vector<std::string_view>& pieces) {
  testing::RecordingSink sink;
  auto decoder = decoder_for(file);
  testing::Answer answer = testing::decode(*decoder, pieces, sink);
  if (answer && !sink.messages.empty()) {
    const OutputItem& streamed = answer->items.at(sink.messages.front());
    EXPECT_EQ(streamed.type, OutputType::kMessage);
    EXPECT_EQ(streamed.text, sink.text()) << "the deltas must add up to the message";
  }
  return testing::describe(answer, sink);
}

class RecordedStream : public ::testing::TestWithParam<std::string> {};

TEST_P(RecordedStream, DecodesToWhatIsExpected) {
  std::string stream = testing::read_testdata(GetParam() + ".sse");
  if (std::getenv("PERDURE_UPDATE_EXPECT"))
    testing::write_testdata(GetParam() + ".expect", decoded(GetParam(), {stream}));
  EXPECT_EQ(decoded(GetParam(), {stream}), testing::read_testdata(GetParam() + ".expect"));
}

TEST_P(RecordedStream, DecodesEquallyHoweverItIsCut) {
  std::string stream = testing::read_testdata(GetParam() + ".sse");
  std::string_view whole = stream;
  std::string expected = decoded(GetParam(), {whole});
  for (std::size_t cut = 0; cut <= whole.size(); ++cut)
    ASSERT_EQ(decoded(GetParam(), {whole.substr(0, cut), whole.substr(cut)}), expected)
        << "cut at byte " << cut;
  std::vector<std::string_view> bytes;
  for (std::size_t at = 0; at < whole.size(); ++at) bytes.push_back(whole.substr(at, 1));
  EXPECT_EQ(decoded(GetParam(), bytes), expected);
}

TEST_P(RecordedStream, NeverSucceedsWithPartOfAnAnswer) {
  std::string stream = testing::read_testdata(GetParam() + ".sse");
  testing::RecordingSink whole_sink;
  testing::Answer whole = testing::decode(*decoder_for(GetParam()), {stream}, whole_sink);
  for (std::size_t end = 0; end < stream.size(); ++end) {
    testing::RecordingSink sink;
    auto part =
        testing::decode(*decoder_for(GetParam()), {std::string_view(stream).substr(0, end)}, sink);
    if (!part) {
      if (whole) {
        EXPECT_TRUE(part.error().retryable) << part.error().message;
      }
      continue;
    }
    ASSERT_TRUE(whole) << "cut after byte " << end;
    // After the finish reason only the usage may still be missing.
    ASSERT_EQ(part->items.size(), whole->items.size()) << "cut after byte " << end;
    for (std::size_t i = 0; i < part->items.size(); ++i) {
      EXPECT_EQ(part->items[i].text, whole->items[i].text);
      EXPECT_EQ(part->items[i].arguments, whole->items[i].arguments);
    }
  }
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const char* prefix : {"anthropic_", "chat_", "responses_"})
    for (const std::string& file : testing::list_testdata(prefix, ".sse"))
      names.push_back(file.substr(0, file.size() - 4));
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, RecordedStream, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param; });

TEST(RecordedStreams, AreThere) {
  EXPECT_GE(cases().size(), 25u);
}

}  // namespace
}  // namespace perdure::models
