// What a model reads and writes, without any provider's wire shape.
//
// A conversation is a list of ContextItem; one model call gives a list of OutputItem, which becomes
// part of the next call's context. Where a provider gave bytes whose identity matters (reasoning
// with encrypted content, its own item ids), they are kept in `raw` and sent back byte for byte to
// the same kind of provider; another provider gets the item rebuilt from the other members.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace perdure::models {

struct TokenUsage {
  std::int64_t input_tokens = 0;
  std::int64_t cached_tokens = 0;  ///< part of input_tokens read from a prompt cache
  std::int64_t output_tokens = 0;
  std::int64_t reasoning_tokens = 0;  ///< part of output_tokens

  std::int64_t total() const { return input_tokens + output_tokens; }
  TokenUsage& operator+=(const TokenUsage& other) {
    input_tokens += other.input_tokens;
    cached_tokens += other.cached_tokens;
    output_tokens += other.output_tokens;
    reasoning_tokens += other.reasoning_tokens;
    return *this;
  }
  bool operator==(const TokenUsage&) const = default;
};

enum class OutputType { kMessage, kReasoning, kFunctionCall };

struct OutputItem {
  OutputType type = OutputType::kMessage;
  std::string text;  ///< message: the text (or refusal); reasoning: the summary, may be empty
  bool refusal = false;
  std::string call_id;  ///< function call: the provider's, unique within the response
  std::string name;
  std::string arguments;     ///< the JSON text exactly as the model wrote it
  std::string raw;           ///< the provider's own item as received, or empty
  std::string raw_provider;  ///< the kind of provider `raw` may be sent to: "openai-responses" …
};

/// Text that came in with the user's message.
struct UserMessage {
  std::vector<std::string> texts;  ///< input_text parts in order
};

struct FunctionOutput {
  std::string call_id;
  std::string output;  ///< what the model is told; failures are told as text too
  bool success = true;
};

using ContextItem = std::variant<UserMessage, OutputItem, FunctionOutput>;

}  // namespace perdure::models
