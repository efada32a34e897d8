// Whatever Amazon Bedrock sends, its reader keeps the promises of model_stream_fuzz.h.
//
// An input is lines, each the type of an event and its payload, "!" before the type of an
// exception; they travel as the frames of the wire, whose checksums no fuzzer would find. The bytes
// that are read as frames themselves are the other way in.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/event_stream.h"
#include "model_stream_fuzz.h"
#include "models/bedrock_stream.h"
#include "models/streamed_call.h"

namespace {

namespace models = perdure::models;
using models::fuzz::demand;

std::string frames_of(std::string_view lines) {
  std::string frames;
  while (!lines.empty()) {
    std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    const bool exception = line.starts_with('!');
    if (exception) line.remove_prefix(1);
    std::string_view type = line.substr(0, line.find(' '));
    std::string_view payload = line.substr(std::min(line.size(), type.size() + 1));
    auto frame = perdure::encode_event_stream(
        {{{exception ? ":exception-type" : ":event-type", std::string(type)},
          {":message-type", std::string(exception ? "exception" : "event")}},
         std::string(payload)});
    if (frame) frames += *frame;  // a type may be too long, or no UTF-8
  }
  return frames;
}

models::fuzz::Events events_of(std::string_view frames) {
  perdure::EventStreamDecoder decoder;
  std::vector<perdure::EventStreamMessage> messages;
  (void)decoder.feed(frames, messages);
  models::fuzz::Events events;
  events.reserve(messages.size());
  for (const perdure::EventStreamMessage& message : messages) {
    auto event = models::event_of_frame(message);
    demand(!event.event.empty() || message.text(":event-type").empty(), "an event has its name");
    events.emplace_back(std::move(event.event), std::move(event.data));
  }
  return events;
}

void check(std::string_view frames) {
  for (const char* model : {"us.anthropic.claude-opus-4-6-v1", "amazon.nova-pro-v1:0"}) {
    models::BedrockStream decoder(models::FailureMapper("upstream", ""), model);
    models::fuzz::check_events(decoder, models::fuzz::Deltas::kAddUp, events_of(frames));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  check(input);
  check(frames_of(input));
  return 0;
}
