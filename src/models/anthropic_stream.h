// Reads the answer of Anthropic's Messages API, streamed or whole.
//
//   message_start ────────▶ id, model, usage of the input
//   content_block_start ──▶ a block begins: text, thinking, a tool call, or of a kind we do not
//   model content_block_delta ──▶ a piece of it; the text of the first text block goes to the sink
//   content_block_stop ───▶ the block is an item
//   message_delta ────────▶ why it stops, usage so far (it corrects what was told before)
//   message_stop ─────────▶ complete
//   error ────────────────▶ failure
//
// Thinking is rebuilt as the block that the API would have sent whole (the members it began with,
// the text and the signature that followed), because it is sent back and checked there. Blocks of
// other kinds, of server tools say, are kept the same way, as reasoning items without text: they go
// back where they came from. Thinking without a signature is no more than a text to read. Owned by
// one call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "models/anthropic_names.h"
#include "models/failure.h"
#include "models/stream_decoder.h"

namespace perdure::models {

/// A content block that is being received.
struct AnthropicBlock {
  std::int64_t index = 0;
  std::string type;
  std::string start;  ///< as it began
  std::string text;   ///< of text or thinking
  std::string signature;
  std::string input;                   ///< the JSON text of a call's arguments, in pieces
  std::vector<std::string> citations;  ///< JSON texts
  bool whole = true;                   ///< no piece was of a kind we cannot put together
};

class AnthropicStream final : public StreamDecoder {
 public:
  AnthropicStream(FailureMapper failures, AnthropicToolNames names)
      : failures_(std::move(failures)), names_(std::move(names)) {}

  std::expected<Progress, ModelFailure> on_event(std::string_view event, std::string_view data,
                                                 ModelSink& sink) override;
  std::expected<ModelOutput, ModelFailure> finish(ModelSink& sink) override;

 private:
  using Block = AnthropicBlock;
  using Step = std::expected<void, ModelFailure>;

  void on_start(const json::object& message, ModelSink& sink);
  Step on_whole(std::string_view data, const json::object& message, ModelSink& sink);
  Step on_block_start(std::int64_t index, std::string_view raw, ModelSink& sink);
  Step on_block_delta(std::string_view data, const json::object& event, ModelSink& sink);
  Step on_block_end();
  void on_message_delta(const json::object& event);
  void on_stop(const json::object& delta);
  void on_usage(const json::object& usage);

  void add_text(std::string_view text, ModelSink& sink);
  Step add_call(const Block& block);
  Step add_reasoning(const Block& block);
  Step add_item(OutputItem item);
  void add_refusal(ModelSink& sink);
  ModelFailure with_usage(ModelFailure failure) const;

  FailureMapper failures_;
  AnthropicToolNames names_;
  ModelOutput output_;
  std::optional<Block> block_;
  std::optional<std::size_t> message_;  ///< the streamed item
  bool streams_ = false;                ///< the block that is being received is that item
  std::string stop_reason_;
  std::string refusal_;  ///< what the API says about why it refused
  bool has_calls_ = false;
  bool ended_ = false;
  // The API counts cached input beside the rest; TokenUsage counts all of it as input.
  std::int64_t plain_input_ = 0;
};

}  // namespace perdure::models
