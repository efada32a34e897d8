#include "models/anthropic_conversation.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

#include "base/raw_json.h"
#include "models/anthropic_names.h"
#include "models/anthropic_request.h"
#include "models/json_text.h"

namespace perdure::models {
namespace {

std::string text_block(std::string_view text) {
  return ObjectText().add("type", "text").add("text", text).text();
}

Result<std::string> image_block(std::string_view url) {
  ObjectText source;
  if (url.starts_with("https://") || url.starts_with("http://")) {
    source.add("type", "url").add("url", url);
  } else {
    static constexpr std::string_view kScheme = "data:";
    static constexpr std::string_view kEncoding = ";base64,";
    std::size_t encoding = url.find(kEncoding);
    if (!url.starts_with(kScheme) || encoding == std::string_view::npos)
      return fail(ErrorCode::kInvalidArgument,
                  "An image must be a base64 data: URL or a http(s):// URL.", "image_url");
    std::string_view type = url.substr(kScheme.size(), encoding - kScheme.size());
    source.add("type", "base64")
        .add("media_type", type.substr(0, type.find(';')))
        .add("data", url.substr(encoding + kEncoding.size()));
  }
  return ObjectText().add("type", "image").add_raw("source", source.text()).text();
}

/// What the model wrote, as the object that the API wants. What is none is kept inside one.
std::string input_object(std::string_view arguments) {
  if (is_blank(arguments)) return "{}";
  std::size_t first = arguments.find_first_not_of(" \t\r\n");
  if (arguments[first] == '{' && check_strict_json(arguments)) return std::string(arguments);
  return ObjectText().add("arguments", arguments).text();
}

std::string call_block(const OutputItem& call, std::string_view id) {
  return ObjectText()
      .add("type", "tool_use")
      .add("id", id)
      .add("name", anthropic_tool_name(call.name))
      .add_raw("input", input_object(call.arguments))
      .text();
}

std::string result_block(std::string_view id, std::string_view output, bool success) {
  ObjectText block;
  block.add("type", "tool_result").add("tool_use_id", id);
  // An error must say something.
  if (!is_blank(output))
    block.add("content", output);
  else if (!success)
    block.add("content", "The call failed.");
  if (!success) block.add("is_error", true);
  return block.text();
}

bool is_thinking_block(std::string_view raw) {
  std::string type = decode_json_string(raw_member(raw, "type").value_or(""));
  return type == "thinking" || type == "redacted_thinking";
}

std::string marked_with(std::string_view mark, const std::string& block) {
  return block.substr(0, block.size() - 1) + R"(,"cache_control":)" + std::string(mark) + "}";
}

}  // namespace

std::string_view cache_control(std::string_view cache_ttl) {
  return cache_ttl.empty() ? R"({"type":"ephemeral"})" : R"({"type":"ephemeral","ttl":"1h"})";
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

/// Walks the context once.
class AnthropicConversation::Builder {
 public:
  explicit Builder(const std::vector<ContextItem>& context)
      : context_(context), sent_(context.size(), false) {}

  Result<std::vector<Message>> build() {
    for (std::size_t at = 0; at < context_.size();) {
      if (std::holds_alternative<OutputItem>(context_[at])) {
        at = add_answer(at);
        continue;
      }
      if (auto* user = std::get_if<UserMessage>(&context_[at])) {
        TRY_VOID(add_user(*user));
      } else if (!sent_[at]) {
        add_text(Role::kUser, std::get<FunctionOutput>(context_[at]).output);  // of no call
      }
      ++at;
    }
    return std::move(messages_);
  }

 private:
  struct Call {
    std::string id;       ///< the conversation's
    std::string sent_id;  ///< the API's
  };

  Message& message_of(Role role) {
    if (messages_.empty() || messages_.back().role != role) messages_.push_back({role, {}, false});
    return messages_.back();
  }

  void add_text(Role role, std::string_view text) {
    if (!is_blank(text)) message_of(role).blocks.push_back({text_block(text)});
  }

  Result<void> add_user(const UserMessage& user) {
    if (user.is_developers()) add_text(Role::kUser, kDeveloperMark);
    for (const ContentPart& part : user.parts) {
      if (!part.is_image()) {
        add_text(Role::kUser, part.text);
        continue;
      }
      TRY(block, image_block(part.image_url));
      message_of(Role::kUser).blocks.push_back({std::move(block)});
    }
    return {};
  }

  /// The run of output items that begins at `at`, and the results of its calls; gives the place
  /// after it.
  std::size_t add_answer(std::size_t at) {
    std::vector<Call> calls;
    for (; at < context_.size(); ++at) {
      auto* item = std::get_if<OutputItem>(&context_[at]);
      if (!item) break;
      add_item(*item, calls);
    }
    drop_last_thinking();
    for (const Call& call : calls) add_result(call, at);
    return at;
  }

  void add_item(const OutputItem& item, std::vector<Call>& calls) {
    bool has_raw = !item.raw.empty() && item.raw_provider == kAnthropicMessages;
    if (item.type == OutputType::kFunctionCall) {
      std::size_t earlier = calls_of_id_[item.call_id]++;
      std::string id = has_raw ? item.call_id : anthropic_call_id(item.call_id, earlier);
      Message& message = message_of(Role::kAssistant);
      message.has_calls = true;
      message.blocks.push_back({has_raw ? item.raw : call_block(item, id)});
      calls.push_back({item.call_id, std::move(id)});
    } else if (has_raw) {
      message_of(Role::kAssistant).blocks.push_back({item.raw, is_thinking_block(item.raw)});
    } else if (item.type == OutputType::kMessage) {
      add_text(Role::kAssistant, item.text);
    }
  }

  /// An answer that was cut off while it thought ends so; the API refuses that.
  void drop_last_thinking() {
    if (messages_.empty() || messages_.back().role != Role::kAssistant) return;
    std::vector<Block>& blocks = messages_.back().blocks;
    while (!blocks.empty() && blocks.back().is_thinking) blocks.pop_back();
    if (blocks.empty()) messages_.pop_back();
  }

  /// The first result of this call that stands at or after `from`.
  void add_result(const Call& call, std::size_t from) {
    std::vector<Block>& blocks = message_of(Role::kUser).blocks;
    for (std::size_t at = from; at < context_.size(); ++at) {
      auto* output = std::get_if<FunctionOutput>(&context_[at]);
      if (!output || sent_[at] || output->call_id != call.id) continue;
      sent_[at] = true;
      blocks.push_back({result_block(call.sent_id, output->output, output->success)});
      return;
    }
    blocks.push_back({result_block(call.sent_id, "The call was not answered.", false)});
  }

  const std::vector<ContextItem>& context_;
  std::vector<bool> sent_;
  std::map<std::string, std::size_t, std::less<>> calls_of_id_;
  std::vector<Message> messages_;
};

Result<AnthropicConversation> AnthropicConversation::make(const std::vector<ContextItem>& context) {
  AnthropicConversation conversation;
  TRY(messages, Builder(context).build());
  conversation.messages_ = std::move(messages);
  return conversation;
}

std::string AnthropicConversation::text(std::string_view mark) const {
  // A mark is looked for at most twenty blocks back, so the one before is marked again.
  static constexpr int kMarks = 2;
  std::size_t first_marked = messages_.size();
  for (int marks = 0; first_marked > 0 && marks < kMarks; --first_marked)
    if (messages_[first_marked - 1].role == Role::kUser) ++marks;
  ArrayText array;
  for (std::size_t at = 0; at < messages_.size(); ++at) {
    const Message& message = messages_[at];
    bool marked = at >= first_marked && message.role == Role::kUser;
    ArrayText content;
    for (const Block& block : message.blocks)
      content.add_raw(marked && &block == &message.blocks.back() ? marked_with(mark, block.json)
                                                                 : block.json);
    array.add_raw(ObjectText()
                      .add("role", message.role == Role::kUser ? "user" : "assistant")
                      .add_raw("content", content.text())
                      .text());
  }
  return array.text();
}

bool AnthropicConversation::continues_without_thinking() const {
  if (messages_.size() < 2 || messages_.back().role != Role::kUser) return false;
  const Message& answer = messages_[messages_.size() - 2];
  return answer.has_calls && !answer.blocks.front().is_thinking;
}

}  // namespace perdure::models
