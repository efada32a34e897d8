// Decodes the stream of Amazon Bedrock's ConverseStream.
//
//   messageStart ─▶ contentBlockStart? ─▶ contentBlockDelta* ─▶ contentBlockStop ─▶ messageStop ─▶
//   metadata
//                   (calls only)          text, reasoningContent, toolUse.input      stopReason
//                   usage
//
// Blocks are addressed by contentBlockIndex and become items in the order in which each first says
// something; text blocks that stand next to each other are one message. Reasoning keeps its block,
// text with signature or redacted content, in `raw`, built once from the pieces, so that every
// later request carries the same bytes. The usage comes after the stop reason: the answer is
// complete with both, or with the stop reason and the end of the stream. Owned by one call.
#pragma once

#include <map>
#include <string>

#include "base/json.h"
#include "models/bedrock_model.h"
#include "models/failure.h"
#include "models/stream_decoder.h"

namespace perdure::models {

class BedrockStream final : public StreamDecoder {
 public:
  /// `model` is what was asked for; the service does not repeat it.
  BedrockStream(FailureMapper failures, std::string model);

  Framing framing() const override { return Framing::kEventStream; }
  void on_head(const http::Headers& headers, ModelSink& sink) override;
  std::expected<Progress, ModelFailure> on_event(std::string_view event, std::string_view data,
                                                 ModelSink& sink) override;
  std::expected<ModelOutput, ModelFailure> finish(ModelSink& sink) override;

 private:
  using Step = std::expected<void, ModelFailure>;
  enum class BlockType {
    kOpen,  ///< nothing has been said yet
    kText,
    kReasoning,
    kCall,
    kServerTool,  ///< a tool that the service runs: neither our call nor a text
  };
  struct Block {
    BlockType type = BlockType::kOpen;
    std::size_t item = 0;   ///< its place in output_.items
    std::string signature;  ///< reasoning
    std::string redacted;   ///< reasoning: the bytes, not base64
    bool stopped = false;
  };

  Step on_start(const json::object& event);
  Step on_delta(const json::object& event, ModelSink& sink);
  Step on_text(Block& block, std::string_view text, ModelSink& sink);
  Step on_reasoning(Block& block, const json::object& reasoning);
  Step on_input(Block& block, const json::object& tool_use);
  void on_metadata(const json::object& event);

  /// The block of this number, open for another piece.
  std::expected<Block*, ModelFailure> block_of(const json::object& event);
  Step become(Block& block, BlockType type, OutputType item);
  Step complete_items();
  ModelFailure with_usage(ModelFailure failure) const;

  FailureMapper failures_;
  ModelOutput output_;
  bool counts_cache_twice_;  ///< in the input tokens beside the cache's own counters
  std::map<std::int64_t, Block> blocks_;
  bool message_started_ = false;  ///< a message item has been announced to the sink
  std::size_t streamed_ = 0;      ///< its place
  std::string stop_reason_;
  bool metadata_seen_ = false;
};

}  // namespace perdure::models
