#include "models/testing.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/bytes.h"
#include "http/sse_parser.h"

namespace perdure::models::testing {
namespace {

std::string_view name_of(Finish finish) {
  switch (finish) {
    case Finish::kStop:
      return "stop";
    case Finish::kToolCalls:
      return "tool_calls";
    case Finish::kLength:
      return "length";
    case Finish::kContentFilter:
      return "content_filter";
  }
  return "?";
}

std::string describe_usage(const TokenUsage& usage, bool known) {
  if (!known) return "usage unknown\n";
  std::string written = usage.cache_write_tokens
                            ? fmt::format(" cache_write={}", usage.cache_write_tokens)
                            : std::string();
  return fmt::format("usage input={} cached={}{} output={} reasoning={}\n", usage.input_tokens,
                     usage.cached_tokens, written, usage.output_tokens, usage.reasoning_tokens);
}

std::string describe_item(const OutputItem& item) {
  std::string line;
  switch (item.type) {
    case OutputType::kMessage:
      line = fmt::format("{} {:?}", item.refusal ? "refusal" : "message", item.text);
      break;
    case OutputType::kReasoning:
      line = fmt::format("reasoning {:?}", item.text);
      break;
    case OutputType::kFunctionCall:
      line = fmt::format("call {} {} {}", item.call_id, item.name, item.arguments);
      break;
  }
  if (!item.raw.empty()) line += fmt::format("\n  raw {} {}", item.raw_provider, item.raw);
  return line + "\n";
}

}  // namespace

void RecordingSink::on_message_started(std::size_t position) {
  EXPECT_TRUE(messages.empty()) << "only the first message of a response is streamed";
  messages.push_back(position);
}

void RecordingSink::on_text(std::string_view delta) {
  EXPECT_FALSE(messages.empty()) << "text before the message began";
  EXPECT_FALSE(delta.empty());
  EXPECT_TRUE(is_valid_utf8(delta)) << "a delta must be valid by itself";
  deltas.emplace_back(delta);
  if (after_text) after_text();
}

void RecordingSink::on_response_id(std::string_view id) {
  response_ids.emplace_back(id);
}

std::string RecordingSink::text() const {
  std::string all;
  for (const std::string& delta : deltas) all += delta;
  return all;
}

std::string describe(const Answer& answer, const RecordingSink& sink) {
  std::string out;
  for (const std::string& id : sink.response_ids) out += fmt::format("id {}\n", id);
  for (std::size_t position : sink.messages) out += fmt::format("streams item {}:", position);
  for (const std::string& delta : sink.deltas) out += fmt::format(" {:?}", delta);
  if (!sink.messages.empty()) out += '\n';
  if (!answer) {
    const ModelFailure& failure = answer.error();
    out += fmt::format("failure {}{}\n  {}\n", failure.code, failure.retryable ? " retryable" : "",
                       failure.message);
    return out + describe_usage(failure.usage, failure.usage_known);
  }
  for (const OutputItem& item : answer->items) out += describe_item(item);
  out += describe_usage(answer->usage, answer->usage_known);
  return out + fmt::format("finish {} model {}\n", name_of(answer->finish), answer->model);
}

Answer decode(StreamDecoder& decoder, const std::vector<std::string_view>& pieces,
              ModelSink& sink) {
  http::SseParser parser;
  for (std::string_view piece : pieces) {
    std::vector<http::SseEvent> events;
    EXPECT_TRUE(parser.feed(piece, events));
    for (const http::SseEvent& event : events) {
      auto progress = decoder.on_event(event.event, event.data, sink);
      if (!progress) return std::unexpected(progress.error());
      if (*progress == Progress::kComplete) return decoder.finish(sink);
    }
  }
  return decoder.finish(sink);
}

std::string read_testdata(const std::string& name) {
  std::ifstream file(std::filesystem::path(PERDURE_MODELS_TESTDATA) / name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

void write_testdata(const std::string& name, std::string_view text) {
  std::ofstream(std::filesystem::path(PERDURE_MODELS_TESTDATA) / name, std::ios::binary) << text;
}

std::vector<std::string> list_testdata(std::string_view prefix, std::string_view suffix) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(PERDURE_MODELS_TESTDATA)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(suffix)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace perdure::models::testing
