// What every reader of a model's streamed answer promises, whatever a server sends.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/raw_json.h"
#include "http/sse_parser.h"
#include "models/anthropic_request.h"
#include "models/bedrock_request.h"
#include "models/chat_request.h"
#include "models/limits.h"
#include "models/responses_request.h"
#include "models/stream_decoder.h"

namespace perdure::models::fuzz {

inline void demand(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "violated: %s\n", promise);
  std::abort();
}

struct Sink final : ModelSink {
  void on_message_started(std::size_t at) override {
    demand(!started, "one message is streamed");
    started = true;
    position = at;
  }
  void on_text(std::string_view delta) override {
    demand(started, "no text before the message began");
    demand(!delta.empty() && is_valid_utf8(delta), "a delta is valid by itself");
    text += delta;
  }
  void on_response_id(std::string_view) override {}

  bool started = false;
  std::size_t position = 0;
  std::string text;
};

using Events = std::vector<std::pair<std::string, std::string>>;  ///< name and data

inline std::expected<ModelOutput, ModelFailure> read(StreamDecoder& decoder, const Events& events,
                                                     Sink& sink) {
  for (const auto& [name, data] : events) {
    auto progress = decoder.on_event(name, data, sink);
    if (!progress) return std::unexpected(std::move(progress).error());
    if (*progress == Progress::kComplete) break;
  }
  return decoder.finish(sink);
}

/// What came in goes out in every protocol's next request, which must stay well-formed.
inline void send_back(const ModelOutput& answer) {
  ModelRequest request;
  for (const OutputItem& item : answer.items) request.context.emplace_back(item);
  // Items are as deep as they may be, and stand deeper.
  constexpr StrictOptions kDeeper = {.max_depth = 2 * kMaxJsonDepth};
  for (const auto& body : {anthropic_request_body(request), responses_request_body(request, true),
                           chat_request_body(request, ChatDialect::kOpenAi)})
    demand(body && check_strict_json(*body, kDeeper), "an answer can be sent back");
  // Converse takes no conversation without a word.
  request.context.insert(request.context.begin(), UserMessage{{ContentPart{"go"}}});
  auto body = bedrock_request_body(request);
  demand(body && check_strict_json(*body, kDeeper), "an answer can be sent to Bedrock");
}

/// kMayDiffer: the protocol tells a message again at its end, and that is what counts.
enum class Deltas { kAddUp, kMayDiffer };

inline void check_events(StreamDecoder& decoder, Deltas deltas, const Events& events) {
  Sink sink;
  auto answer = read(decoder, events, sink);
  if (!answer) {
    demand(!answer.error().code.empty() && is_valid_utf8(answer.error().message),
           "a failure says what it is");
    return;
  }
  demand(answer->items.size() <= kMaxOutputItems, "an answer has so many items at most");
  if (sink.started) {
    demand(sink.position < answer->items.size(), "the streamed message is an item");
    const OutputItem& streamed = answer->items[sink.position];
    demand(streamed.type == OutputType::kMessage, "what is streamed is a message");
    demand(deltas == Deltas::kMayDiffer || streamed.text == sink.text,
           "the deltas add up to the message");
  }
  for (const OutputItem& item : answer->items) {
    demand(item.raw.empty() || check_strict_json(item.raw), "kept bytes are strict JSON");
    demand(item.raw.empty() == item.raw_provider.empty(), "kept bytes say whose they are");
    if (item.type == OutputType::kFunctionCall)
      demand(!item.name.empty() && !item.call_id.empty(), "a call has a name and an id");
  }
  send_back(*answer);
}

/// Of a stream of server-sent events.
inline void check(StreamDecoder& decoder, Deltas deltas, std::string_view stream) {
  http::SseParser parser;
  std::vector<http::SseEvent> parsed;
  (void)parser.feed(stream, parsed);
  Events events;
  events.reserve(parsed.size());
  for (http::SseEvent& event : parsed)
    events.emplace_back(std::move(event.event), std::move(event.data));
  check_events(decoder, deltas, events);
}

}  // namespace perdure::models::fuzz
