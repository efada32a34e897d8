// A model provider: one call in, items and usage out, text streamed on the way.
//
// Implementations translate between this and a wire protocol and know nothing of sessions. They are
// owned by the composition root, called on the loop, and suspend while the network works. A call
// never retries by itself: retrying, pacing and accounting are the engine's, which journals each
// attempt. A failure says whether another attempt makes sense.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/cancel.h"
#include "async/task.h"
#include "base/json.h"
#include "models/item.h"

namespace perdure::models {

using async::Task;

struct FunctionTool {
  std::string name;
  std::string description;
  std::string parameters;  ///< JSON Schema text, sent as it is
  bool strict = false;  ///< arguments must follow the schema to the letter, where that is offered
};

/// How the next token is chosen; nullopt: as the provider does it.
struct Sampling {
  std::optional<double> temperature;        ///< 0 to 2
  std::optional<double> top_p;              ///< 0 to 1
  std::optional<double> presence_penalty;   ///< -2 to 2
  std::optional<double> frequency_penalty;  ///< -2 to 2
  bool operator==(const Sampling&) const = default;
};

struct ModelRequest {
  std::string model;  ///< the upstream name
  std::string instructions;
  std::vector<ContextItem> context;
  std::vector<FunctionTool> tools;
  std::string
      tool_choice;  ///< "" (provider's default), "auto", "none", "required", or a function's name
  bool parallel_tool_calls = true;
  std::string reasoning_effort;        ///< "" or none…max
  std::string reasoning_summary;       ///< "" (none) or concise, detailed, auto
  std::string text_format;             ///< "" or JSON Schema text the answer must follow
  std::string verbosity;               ///< "" or low, medium, high
  std::string service_tier;            ///< "" (the provider's default), flex, priority …
  std::int64_t max_output_tokens = 0;  ///< 0: the provider's default
  Sampling sampling;
  std::string idempotency_key;  ///< sent where the provider takes one
  std::string cache_key;        ///< the session: providers route equal keys to the same cache
  std::string cache_ttl;        ///< "" (the provider's default), "30m" or "12h": how long at least
};

/// The settings of a ModelRequest that not every provider has words for. One that it has none for
/// is refused when a session asks for it, and never silently left out.
struct Capabilities {
  bool reasoning_summary = false;
  bool verbosity = false;
  bool images = false;         ///< as data: URLs
  bool remote_images = false;  ///< as http(s):// URLs, which the provider fetches
  bool service_tier = false;
  bool penalties = false;  ///< Sampling::presence_penalty and frequency_penalty
  int cache_minutes =
      0;  ///< the longest that prompts can be asked to stay cached; 0: it has no say
};

/// ModelRequest::cache_ttl in minutes; 0 where there is none.
int cache_minutes_of(std::string_view ttl);

/// kLength: the answer ends in its middle, and the arguments of its last function call may, too.
enum class Finish { kStop, kToolCalls, kLength, kContentFilter };

struct ModelOutput {
  std::vector<OutputItem> items;
  TokenUsage usage;
  bool usage_known = false;
  Finish finish = Finish::kStop;
  std::string response_id;  ///< upstream's, for its logs
  std::string model;        ///< the model that answered, as upstream names it
};

/// One of the 24 codes of the wire's turn error, e.g. "rate_limit_exceeded"; see docs/protocols.
struct ModelFailure {
  std::string code = "server_error";
  std::string message;  ///< a sentence a person understands; never a key, never a URL with one
  bool retryable = false;
  std::int64_t retry_after_ms = 0;  ///< what upstream asked for, 0 if it did not
  bool unsent = false;              ///< nothing was asked of the provider
  bool begun = false;               ///< it had begun to answer
  TokenUsage usage;                 ///< what the abandoned attempt cost, where known
  bool usage_known = false;
};

/// Receives the volatile part of a call while it runs. Calls come on the loop, in order.
class ModelSink {
 public:
  virtual ~ModelSink() = default;
  /// The first message item begins; `position` is its index among the response's output items.
  /// Later message items of the same response are not streamed; they arrive with the result.
  virtual void on_message_started(std::size_t position) = 0;
  /// A piece of that message's text, valid UTF-8 by itself.
  virtual void on_text(std::string_view delta) = 0;
  virtual void on_response_id(std::string_view id) = 0;
};

class Provider {
 public:
  virtual ~Provider() = default;
  /// The configured name, for logs and the journal.
  virtual std::string_view name() const = 0;
  /// "openai-responses", "openai-chat", "bedrock-converse", "scripted" …
  virtual std::string_view kind() const = 0;
  virtual Capabilities capabilities() const = 0;
  /// True where no call costs anything, whatever the model is called.
  virtual bool is_free() const { return false; }
  /// `sink` outlives the call. After a cancel the call returns soon with code "cancelled".
  virtual Task<std::expected<ModelOutput, ModelFailure>> generate(ModelRequest request,
                                                                  ModelSink* sink,
                                                                  async::CancelToken cancel) = 0;
};

}  // namespace perdure::models
