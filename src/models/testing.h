// What the tests of this module share: a sink that remembers, answers as readable text, recorded
// streams cut anywhere.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/provider.h"
#include "models/stream_decoder.h"

namespace perdure::models::testing {

struct RecordingSink final : ModelSink {
  void on_message_started(std::size_t position) override;
  void on_text(std::string_view delta) override;
  void on_response_id(std::string_view id) override;

  std::vector<std::size_t> messages;
  std::vector<std::string> deltas;
  std::vector<std::string> response_ids;
  std::function<void()> after_text;  ///< called after every delta

  std::string text() const;
};

using Answer = std::expected<ModelOutput, ModelFailure>;

/// The answer and what the sink saw as lines that a person can compare.
std::string describe(const Answer& answer, const RecordingSink& sink);

/// Parses the pieces as server-sent events and feeds the decoder as a call would.
Answer decode(StreamDecoder& decoder, const std::vector<std::string_view>& pieces, ModelSink& sink);

/// A file of testdata/.
std::string read_testdata(const std::string& name);
void write_testdata(const std::string& name, std::string_view text);
/// Names in testdata/ that begin and end so, sorted.
std::vector<std::string> list_testdata(std::string_view prefix, std::string_view suffix);

inline OutputItem message(std::string text) {
  return {.type = OutputType::kMessage, .text = std::move(text)};
}
inline OutputItem call(std::string id, std::string name, std::string arguments) {
  return {.type = OutputType::kFunctionCall,
          .call_id = std::move(id),
          .name = std::move(name),
          .arguments = std::move(arguments)};
}
inline UserMessage user(std::string text) {
  return {{std::move(text)}};
}

}  // namespace perdure::models::testing
