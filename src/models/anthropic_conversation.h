// The `messages` of a request to Anthropic's Messages API; its rules are in anthropic_request.h.
//
// A value made from a context and read once. It borrows nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "models/item.h"

namespace perdure::models {

/// What marks the end of what the provider may keep in its prompt cache: for its five minutes, or
/// for the hour that it has besides, where a lifetime is asked for.
std::string_view cache_control(std::string_view cache_ttl);

/// Whether the API would refuse this text as empty.
bool is_blank(std::string_view text);

class AnthropicConversation {
 public:
  /// kInvalidArgument for an image that is neither a base64 data: URL nor a http(s):// URL.
  static Result<AnthropicConversation> make(const std::vector<ContextItem>& context);

  /// The array, with the places marked up to which it may be cached.
  std::string text(std::string_view mark) const;

  /// Whether the newest message of the assistant calls tools, is being answered, and does not begin
  /// with thinking: models with a thinking budget then refuse to think.
  bool continues_without_thinking() const;

 private:
  class Builder;

  enum class Role { kUser, kAssistant };

  struct Block {
    std::string json;  ///< an object
    bool is_thinking = false;
  };

  struct Message {
    Role role;
    std::vector<Block> blocks;
    bool has_calls = false;
  };

  std::vector<Message> messages_;
};

}  // namespace perdure::models
