// The reader of one streamed answer: events of a provider's protocol in, items and usage out.
//
// A state machine without input or output of its own, so that every protocol rule can be tested
// with recorded text. One decoder lives for one model call and is used on its loop.
#pragma once

#include <expected>
#include <optional>
#include <string_view>

#include "http/message.h"
#include "models/provider.h"

namespace perdure::models {

enum class Progress {
  kMore,      ///< the answer goes on
  kComplete,  ///< nothing that matters can follow: stop reading
};

/// How a protocol cuts its stream into events.
enum class Framing {
  kServerSentEvents,
  kEventStream,  ///< Amazon's binary frames; see event_of_frame
};

class StreamDecoder {
 public:
  virtual ~StreamDecoder() = default;
  virtual Framing framing() const { return Framing::kServerSentEvents; }
  /// The fields of the answer's head, before the first event: for what a protocol tells there.
  virtual void on_head(const http::Headers&, ModelSink&) {}
  /// One event of the stream. A failure ends the call: an error told in the stream, or text that is
  /// not the protocol.
  virtual std::expected<Progress, ModelFailure> on_event(std::string_view event,
                                                         std::string_view data,
                                                         ModelSink& sink) = 0;
  /// After the last event: the answer, or the failure of having been cut off (with the usage as far
  /// as it was told). `sink` gets what was still held back.
  virtual std::expected<ModelOutput, ModelFailure> finish(ModelSink& sink) = 0;
};

}  // namespace perdure::models
