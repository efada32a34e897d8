// What a model reads and writes, without any provider's wire shape.
//
// A conversation is a list of ContextItem; one model call gives a list of OutputItem, which becomes
// part of the next call's context. Where a provider gave bytes whose identity matters (reasoning
// with encrypted content, its own item ids), they are kept in `raw` and sent back byte for byte to
// the same kind of provider; another provider gets the item rebuilt from the other members.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "models/limits.h"

namespace perdure::models {

struct TokenUsage {
  std::int64_t input_tokens = 0;
  std::int64_t cached_tokens = 0;  ///< part of input_tokens read from a prompt cache
  std::int64_t output_tokens = 0;
  std::int64_t reasoning_tokens = 0;  ///< part of output_tokens
  /// Part of input_tokens that was written to a prompt cache, at a price of its own.
  std::int64_t cache_write_tokens = 0;

  std::int64_t total() const { return input_tokens + output_tokens; }
  TokenUsage& operator+=(const TokenUsage& other) {
    input_tokens += other.input_tokens;
    cached_tokens += other.cached_tokens;
    cache_write_tokens += other.cache_write_tokens;
    output_tokens += other.output_tokens;
    reasoning_tokens += other.reasoning_tokens;
    return *this;
  }
  bool operator==(const TokenUsage&) const = default;
};

/// A count of tokens as a provider told it, within what one can mean: sums must not overflow.
constexpr std::int64_t told_tokens(std::int64_t count) {
  return std::clamp<std::int64_t>(count, 0, kMaxToldTokens);
}

enum class OutputType { kMessage, kReasoning, kFunctionCall };

struct OutputItem {
  OutputType type = OutputType::kMessage;
  std::string text;  ///< message: the text (or refusal); reasoning: the summary, may be empty
  bool refusal = false;
  std::string call_id;  ///< function call: the provider's, unique within the response
  std::string name;
  std::string arguments;  ///< the JSON text exactly as the model wrote it
  std::string raw;        ///< the provider's own item as received, or empty
  /// The kind of provider that `raw`, or reasoning's text, may go back to: "openai-responses" …
  std::string raw_provider;
  /// Which model of which configured provider wrote it, "<provider>/<upstream name>"; empty: not
  /// known. What others can make nothing of (thinking that only its writer can verify) goes back
  /// to this one only.
  std::string raw_model;
};

/// One part of a user's message: text, or an image.
struct ContentPart {
  std::string text;
  std::string image_url;  ///< http(s):// or a base64 data: URL; empty: the part is text

  ContentPart() = default;
  ContentPart(std::string text) : text(std::move(text)) {}  // NOLINT: a text is a part
  ContentPart(const char* text) : text(text) {}             // NOLINT
  static ContentPart image(std::string url) {
    ContentPart part;
    part.image_url = std::move(url);
    return part;
  }
  bool is_image() const { return !image_url.empty(); }
  bool operator==(const ContentPart&) const = default;
};

/// Who says what stands where a user's message may stand.
enum class Sender { kUser, kServer, kFunction /* that ran on: its late result */, kDeveloper };

/// What came in with the message, in order.
struct UserMessage {
  std::vector<ContentPart> parts;
  Sender sender = Sender::kUser;

  bool is_users() const { return sender == Sender::kUser; }
  bool is_note() const { return sender == Sender::kServer; }
  /// Instructions that stand inside the conversation, of a "system" or "developer" message.
  bool is_developers() const { return sender == Sender::kDeveloper; }
};

/// A developer's message for protocols that know instructions only before the conversation: what
/// marks it among what the user says.
inline constexpr const char* kDeveloperMark = "[Instructions from the developer, not the user:]";

struct FunctionOutput {
  std::string call_id;
  std::string output;  ///< what the model is told; failures are told as text too
  bool success = true;
};

using ContextItem = std::variant<UserMessage, OutputItem, FunctionOutput>;

}  // namespace perdure::models
