#include "models/scripted.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "async/signal.h"
#include "async/until_cancelled.h"
#include "base/bytes.h"
#include "models/failure.h"
#include "models/json_text.h"
#include "models/limits.h"
#include "models/scripted_demo.h"

namespace perdure::models {
namespace {

using Answer = std::expected<ModelOutput, ModelFailure>;

std::int64_t estimated_tokens(std::size_t bytes) {
  return static_cast<std::int64_t>((bytes + 3) / 4);
}

std::size_t bytes_of(const ContextItem& item) {
  if (auto* output = std::get_if<OutputItem>(&item))
    return output->text.size() + output->name.size() + output->arguments.size();
  if (auto* result = std::get_if<FunctionOutput>(&item)) return result->output.size();
  std::size_t bytes = 0;
  for (const ContentPart& part : std::get<UserMessage>(item).parts) bytes += part.text.size();
  return bytes;
}

TokenUsage estimated_usage(const ModelRequest& request, const ModelOutput& output) {
  std::size_t input = request.instructions.size();
  for (const ContextItem& item : request.context) input += bytes_of(item);
  std::size_t written = 0;
  TokenUsage usage;
  for (const OutputItem& item : output.items) {
    written += bytes_of(item);
    if (item.type == OutputType::kReasoning)
      usage.reasoning_tokens += estimated_tokens(item.text.size());
  }
  usage.input_tokens = estimated_tokens(input);
  usage.output_tokens = estimated_tokens(written);
  return usage;
}

void replace_all(std::string& text, std::string_view mark, std::string_view value) {
  for (std::size_t at = text.find(mark); at != std::string::npos;
       at = text.find(mark, at + value.size()))
    text.replace(at, mark.size(), value);
}

/// Puts the conversation's texts where a script says {{input}} or {{first}}.
std::string filled(std::string text, const ModelRequest& request) {
  if (text.find("{{") == std::string::npos) return text;
  replace_all(text, "{{input}}", last_input(request));
  replace_all(text, "{{first}}", first_input(request));
  return text;
}

/// The same inside JSON text, where they stand within a string.
std::string filled_json(std::string text, const ModelRequest& request) {
  if (text.find("{{") == std::string::npos) return text;
  auto escaped = [](const std::string& value) {
    std::string literal = json_quoted(value);
    return literal.substr(1, literal.size() - 2);
  };
  replace_all(text, "{{input}}", escaped(last_input(request)));
  replace_all(text, "{{first}}", escaped(first_input(request)));
  return text;
}

/// A name for this response that is the same whenever the same is asked.
std::string response_id(const ModelRequest& request) {
  std::string key = fmt::format("{}\n{}\n{}\n{}", request.cache_key, request.idempotency_key,
                                request.context.size(), last_input(request));
  return "scripted_" + to_hex(as_view(sha256(key))).substr(0, 16);
}

/// False when it was cut short by a cancel.
Task<bool> pause(std::int64_t milliseconds) {
  co_return milliseconds <= 0 || co_await async::sleep_for(milliseconds);
}

class Scripted final : public Provider {
 public:
  Scripted(std::string name, std::optional<Script> script)
      : name_(std::move(name)), script_(std::move(script)) {}

  std::string_view name() const override { return name_; }
  std::string_view kind() const override { return kScripted; }
  /// It plays its script whatever it is asked for: it stands in for every provider.
  bool is_free() const override { return true; }
  Capabilities capabilities() const override {
    return {.reasoning_summary = true,
            .verbosity = true,
            .images = true,
            .remote_images = true,
            .service_tier = true,
            .penalties = true,
            .cache_minutes = 12 * 60};
  }

  Task<Answer> generate(ModelRequest request, ModelSink* sink, async::CancelToken cancel) override {
    ScriptStep step = next_step(request);
    auto answer =
        co_await async::until_cancelled(play(std::move(step), std::move(request), sink), cancel);
    if (!answer || cancel.cancelled()) co_return std::unexpected(FailureMapper::cancelled());
    co_return std::move(*answer);
  }

 private:
  /// How often each step has answered.
  using Uses = std::vector<std::int64_t>;

  ScriptStep next_step(const ModelRequest& request) {
    if (!script_) return demo_step(request);
    std::string input = last_input(request);
    Uses& uses = uses_of(script_->per_session ? request.cache_key : std::string());
    for (std::size_t i = 0; i < script_->steps.size(); ++i) {
      const ScriptStep& step = script_->steps[i];
      if (step.times != 0 && uses[i] >= step.times) continue;
      if (!step.when.empty() && input.find(step.when) == std::string::npos) continue;
      ++uses[i];
      return step;
    }
    return script_->otherwise ? *script_->otherwise : demo_step(request);
  }

  Uses& uses_of(const std::string& session) {
    if (uses_.size() >= kMaxScriptSessions && !uses_.contains(session)) uses_.clear();
    Uses& uses = uses_[session];
    uses.resize(script_->steps.size());
    return uses;
  }

  Task<Answer> play(ScriptStep step, ModelRequest request, ModelSink* sink) {
    ModelOutput output;
    output.model = script_ ? script_->model : "scripted-demo";
    output.response_id = response_id(request);
    output.finish = step.finish;
    sink->on_response_id(output.response_id);

    bool ends_early = step.failure || step.hang;
    if (step.chunks.empty() && !co_await pause(step.delay_ms))
      co_return std::unexpected(FailureMapper::cancelled());
    if (!step.reasoning.empty() && !(ends_early && step.after_chunks == 0))
      output.items.push_back({.type = OutputType::kReasoning, .text = step.reasoning});
    std::size_t chunks = step.chunks.size();
    if (ends_early) chunks = std::min(chunks, step.after_chunks);
    for (std::size_t n = 0; n < chunks; ++n) {
      if (!co_await pause(step.delay_ms)) co_return std::unexpected(FailureMapper::cancelled());
      if (n == 0) {
        sink->on_message_started(output.items.size());
        output.items.push_back({.type = OutputType::kMessage, .refusal = step.refusal});
      }
      std::string piece = filled(step.chunks[n], request);
      output.items.back().text += piece;
      if (!piece.empty()) sink->on_text(piece);
    }

    if (step.hang) {
      async::Signal never(co_await boost::asio::this_coro::executor);
      co_await never.wait();
    }
    if (step.failure) co_return std::unexpected(failed(step, request, output));
    for (std::size_t n = 0; n < step.tool_calls.size(); ++n) {
      const ScriptCall& call = step.tool_calls[n];
      std::string id =
          call.id.empty() ? fmt::format("call_{}_{}", output.response_id.substr(9), n) : call.id;
      output.items.push_back({.type = OutputType::kFunctionCall,
                              .call_id = std::move(id),
                              .name = call.name,
                              .arguments = filled_json(call.arguments, request)});
    }
    output.usage_known = !step.usage_unknown;
    if (output.usage_known)
      output.usage = step.usage ? *step.usage : estimated_usage(request, output);
    co_return output;
  }

  static ModelFailure failed(const ScriptStep& step, const ModelRequest& request,
                             const ModelOutput& output) {
    ModelFailure failure;
    failure.code = step.failure->code;
    failure.message = step.failure->message;
    failure.retryable = step.failure->retryable;
    failure.retry_after_ms = step.failure->retry_after_ms;
    failure.usage_known = !output.items.empty() && !step.usage_unknown;
    if (failure.usage_known)
      failure.usage = step.usage ? *step.usage : estimated_usage(request, output);
    return failure;
  }

  std::string name_;
  std::optional<Script> script_;
  std::unordered_map<std::string, Uses> uses_;
};

}  // namespace

std::unique_ptr<Provider> make_scripted(std::string name, std::optional<Script> script) {
  return std::make_unique<Scripted>(std::move(name), std::move(script));
}

}  // namespace perdure::models
