#include "models/bedrock_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "base/bytes.h"
#include "base/raw_json.h"
#include "models/bedrock_request.h"
#include "models/json_text.h"

namespace perdure::models {
namespace {

constexpr std::size_t kMaxToolUseIdBytes = 64;

/// The service refuses text of white space only, wherever it stands.
bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

std::string text_block(std::string_view text) {
  return ObjectText().add("text", text).text();
}

/// {"image": …} of a data: URL; the bytes stay base64, as blobs are in this JSON.
Result<std::string> image_block(std::string_view url) {
  constexpr std::string_view kTypes = "data:image/";
  constexpr std::array<std::string_view, 4> kFormats = {"png", "jpeg", "gif", "webp"};
  std::size_t comma = url.find(',');
  if (!url.starts_with("data:") || comma == std::string_view::npos)
    return fail(ErrorCode::kInvalidArgument,
                "Bedrock does not fetch images: give them as data: URLs.", "image_url");
  std::string_view head = url.substr(0, comma);
  std::string_view format;
  if (head.starts_with(kTypes)) format = head.substr(kTypes.size());
  format = format.substr(0, format.find(';'));
  if (format == "jpg") format = "jpeg";
  if (std::ranges::find(kFormats, format) == kFormats.end() || !head.ends_with(";base64"))
    return fail(ErrorCode::kInvalidArgument,
                "Bedrock takes images as base64 data: URLs of the types image/png, image/jpeg, "
                "image/gif and image/webp.",
                "image_url");
  std::string source = ObjectText().add("bytes", url.substr(comma + 1)).text();
  std::string image = ObjectText().add("format", format).add_raw("source", source).text();
  return ObjectText().add_raw("image", image).text();
}

/// Claude and gpt-oss disagree: one refuses reasoning without a signature, the other with one.
bool takes_reasoning(const BedrockModel& model, const OutputItem& item) {
  if (item.raw.empty() || item.raw_provider != kBedrockConverse) return false;
  std::string_view content = raw_member(item.raw, "reasoningContent").value_or("");
  bool sealed = raw_member(content, "redactedContent").has_value() ||
                raw_member(raw_member(content, "reasoningText").value_or(""), "signature");
  if (model.family == BedrockModel::Family::kAnthropic) return sealed;
  if (model.family == BedrockModel::Family::kNova || model.effort == BedrockModel::Effort::kFlat)
    return !sealed;
  return true;
}

/// The walk over the context. Results of calls are brought forward to their call, since a toolUse
/// that is not answered in the very next message is refused; messages of one role in a row become
/// one.
class Builder {
 public:
  Builder(const std::vector<ContextItem>& context, const BedrockModel& model)
      : context_(context), model_(model), taken_(context.size(), false) {}

  Result<BedrockMessages> build() {
    for (std::size_t at = 0; at < context_.size();) {
      if (std::holds_alternative<OutputItem>(context_[at])) {
        at = add_run(at);
        continue;
      }
      if (auto* user = std::get_if<UserMessage>(&context_[at])) {
        TRY_VOID(add_user(*user));
      } else if (!taken_[at]) {
        // Its call is no longer part of the conversation, so that it can only be told as text.
        const auto& output = std::get<FunctionOutput>(context_[at]);
        std::string told = fmt::format("The result of an earlier call: {}", output.output);
        message(kUser).blocks.push_back({Block::kText, text_block(told)});
      }
      ++at;
    }
    if (messages_.empty())
      return fail(ErrorCode::kInvalidArgument, "The conversation holds nothing to answer.",
                  "input");
    if (messages_.front().role == kAssistant)
      messages_.insert(messages_.begin(),
                       {kUser, {{Block::kText, text_block("(The beginning is left out.)")}}});
    if (model_.caches) add_cache_points();
    BedrockMessages built;
    built.json = text();
    built.tools_used = std::move(tools_used_);
    return built;
  }

 private:
  enum Role { kUser, kAssistant };
  struct Block {
    enum Type { kText, kImage, kReasoning, kToolUse, kToolResult };
    Type type;
    std::string json;
  };
  struct Message {
    Role role;
    std::vector<Block> blocks;
    bool cache_point = false;
  };

  /// The last message if it is of this role, otherwise a new one.
  Message& message(Role role) {
    if (messages_.empty() || messages_.back().role != role) messages_.push_back({role, {}});
    return messages_.back();
  }

  Result<void> add_user(const UserMessage& user) {
    std::vector<Block> blocks;
    if (user.is_developers()) blocks.push_back({Block::kText, text_block(kDeveloperMark)});
    for (const ContentPart& part : user.parts) {
      if (part.is_image()) {
        TRY(image, image_block(part.image_url));
        blocks.push_back({Block::kImage, std::move(image)});
      } else if (!is_blank(part.text)) {
        blocks.push_back({Block::kText, text_block(part.text)});
      }
    }
    if (blocks.empty()) blocks.push_back({Block::kText, text_block("(empty message)")});
    std::ranges::move(blocks, std::back_inserter(message(kUser).blocks));
    return {};
  }

  /// The run of output items that begins at `at`, and the results of its calls; gives the place
  /// after the run.
  std::size_t add_run(std::size_t at) {
    std::vector<Block> blocks;
    std::vector<std::pair<std::string_view, std::string>> calls;  // the id here, the id sent
    for (; at < context_.size(); ++at) {
      auto* item = std::get_if<OutputItem>(&context_[at]);
      if (!item) break;
      if (item->type == OutputType::kMessage) {
        if (!is_blank(item->text)) blocks.push_back({Block::kText, text_block(item->text)});
      } else if (item->type == OutputType::kReasoning) {
        if (takes_reasoning(model_, *item)) blocks.push_back({Block::kReasoning, item->raw});
      } else {
        calls.emplace_back(item->call_id, unused_id(item->call_id));
        blocks.push_back({Block::kToolUse, tool_use(*item, calls.back().second)});
      }
    }
    // A message may not end in reasoning: an answer that was cut off in it has said nothing.
    while (!blocks.empty() && blocks.back().type == Block::kReasoning) blocks.pop_back();
    if (blocks.empty()) return at;
    std::ranges::move(blocks, std::back_inserter(message(kAssistant).blocks));
    for (const auto& [id, sent] : calls) add_result(id, sent, at);
    return at;
  }

  std::string tool_use(const OutputItem& call, const std::string& id) {
    if (std::ranges::find(tools_used_, call.name) == tools_used_.end())
      tools_used_.push_back(call.name);
    // The input is an object. What a model wrote that is none (cut off, or not JSON) is shown to
    // it as what it wrote.
    std::string input = "{}";
    if (!is_blank(call.arguments)) {
      std::size_t begin = call.arguments.find_first_not_of(" \t\r\n");
      bool is_object = call.arguments[begin] == '{' && check_strict_json(call.arguments);
      input = is_object ? call.arguments : ObjectText().add("text", call.arguments).text();
    }
    std::string use =
        ObjectText().add("toolUseId", id).add("name", call.name).add_raw("input", input).text();
    return ObjectText().add_raw("toolUse", use).text();
  }

  /// The first result at or after `from` that answers the call.
  void add_result(std::string_view call_id, const std::string& sent_id, std::size_t from) {
    std::string_view output = "There is no result of this call.";
    bool success = false;
    for (std::size_t at = from; at < context_.size(); ++at) {
      auto* candidate = std::get_if<FunctionOutput>(&context_[at]);
      if (!candidate || taken_[at] || candidate->call_id != call_id) continue;
      taken_[at] = true;
      output = candidate->output;
      success = candidate->success;
      break;
    }
    if (is_blank(output)) output = "(no output)";
    std::string result = ObjectText()
                             .add("toolUseId", sent_id)
                             .add_raw("content", ArrayText().add_raw(text_block(output)).text())
                             .add("status", success ? "success" : "error")
                             .text();
    message(kUser).blocks.push_back(
        {Block::kToolResult, ObjectText().add_raw("toolResult", result).text()});
  }

  /// The call's own id where the service takes it and no call before has it; otherwise one made
  /// from it, the same every time.
  std::string unused_id(std::string_view call_id) {
    constexpr std::string_view kAllowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    std::string id(call_id);
    bool allowed = !id.empty() && id.size() <= kMaxToolUseIdBytes &&
                   id.find_first_not_of(kAllowed) == std::string::npos;
    for (int turn = 0; !allowed || used_ids_.contains(id); ++turn) {
      id = "call_" + to_hex(as_view(sha256(fmt::format("{}#{}", call_id, turn)))).substr(0, 40);
      allowed = true;
    }
    used_ids_.insert(id);
    return id;
  }

  /// What is sent now is the beginning of the next request. The point before the last one is what
  /// this request reads; the last is what the next will.
  void add_cache_points() {
    int left = 2;
    for (auto message = messages_.rbegin(); message != messages_.rend() && left > 0; ++message) {
      if (message->role != kUser) continue;
      --left;
      Block::Type last = message->blocks.back().type;
      message->cache_point = model_.caches_tools || last == Block::kText;
    }
  }

  std::string text() const {
    ArrayText array;
    for (const Message& message : messages_) {
      ArrayText content;
      for (const Block& block : message.blocks) content.add_raw(block.json);
      if (message.cache_point) content.add_raw(kBedrockCachePoint);
      array.add_raw(ObjectText()
                        .add("role", message.role == kUser ? "user" : "assistant")
                        .add_raw("content", content.text())
                        .text());
    }
    return array.text();
  }

  const std::vector<ContextItem>& context_;
  const BedrockModel& model_;
  std::vector<bool> taken_;  ///< results that stand with their call already
  std::vector<Message> messages_;
  std::vector<std::string> tools_used_;
  std::set<std::string, std::less<>> used_ids_;
};

}  // namespace

Result<BedrockMessages> bedrock_messages(const std::vector<ContextItem>& context,
                                         const BedrockModel& model) {
  return Builder(context, model).build();
}

}  // namespace perdure::models
