#include "models/streamed_call.h"

#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "async/within.h"
#include "http/sse_parser.h"
#include "models/json_text.h"
#include "models/limits.h"

namespace perdure::models {
namespace {

using Answer = std::expected<ModelOutput, ModelFailure>;

bool says_json(const http::Headers& headers) {
  auto type = headers.get("content-type");
  return type && type->starts_with("application/json");
}

/// The beginning of an error's body. A body that breaks off still says something.
Task<std::string> read_error_body(http::ClientResponse* response) {
  std::string body;
  while (body.size() < kMaxErrorBodyBytes) {
    auto piece = co_await response->read();
    if (!piece || !*piece) break;
    body += **piece;
  }
  if (body.size() > kMaxErrorBodyBytes) body.resize(kMaxErrorBodyBytes);
  co_return body;
}

/// The answer of a decoder whose stream ended with `error`: it may have been complete already.
Answer end_after_error(StreamDecoder& decoder, const FailureMapper& failures, const Error& error,
                       ModelSink& sink) {
  Answer answer = decoder.finish(sink);
  if (answer) return answer;
  ModelFailure failure =
      error.code == ErrorCode::kUpstream ? failures.cut_off() : failures.from_transport(error);
  failure.usage = answer.error().usage;
  failure.usage_known = answer.error().usage_known;
  return std::unexpected(std::move(failure));
}

/// Cuts the bytes of a stream into events, in the framing of its protocol.
class EventReader {
 public:
  explicit EventReader(Framing framing)
      : framing_(framing),
        lines_({.max_line = kMaxEventBytes, .max_event = kMaxEventBytes}),
        frames_({.max_payload = kMaxEventBytes}) {}

  /// Appends the events that `bytes` complete, also those before an error.
  Result<void> feed(std::string_view bytes, std::vector<http::SseEvent>& events) {
    if (framing_ == Framing::kServerSentEvents) return lines_.feed(bytes, events);
    messages_.clear();
    Result<void> fed = frames_.feed(bytes, messages_);
    for (EventStreamMessage& message : messages_) events.push_back(event_of_frame(message));
    return fed;
  }

 private:
  Framing framing_;
  http::SseParser lines_;
  EventStreamDecoder frames_;
  std::vector<EventStreamMessage> messages_;
};

/// What stands in the stream where an event should be.
ModelFailure unreadable(const FailureMapper& failures, const Error& error) {
  // The sentence of a broken frame says what was sent.
  if (error.code == ErrorCode::kUpstream) return failures.broken(error.message);
  return failures.from_transport(error);
}

/// Takes the end of a body that follows its last event, so that the connection can be used again.
/// A server that does not end it soon loses the connection instead of holding up the answer.
Task<> take_end(http::ClientResponse* response) {
  co_await async::within(kEndOfBodyMs, response->read());
}

Task<Answer> read_stream(http::ClientResponse* response, StreamDecoder* decoder,
                         const FailureMapper* failures, ModelSink* sink,
                         async::CancelToken cancel) {
  EventReader parser(decoder->framing());
  std::vector<http::SseEvent> events;
  std::size_t received = 0;
  while (true) {
    auto piece = co_await response->read();
    if (cancel.cancelled()) co_return std::unexpected(FailureMapper::cancelled());
    if (!piece) co_return end_after_error(*decoder, *failures, piece.error(), *sink);
    if (!*piece) co_return decoder->finish(*sink);
    received += (*piece)->size();
    events.clear();
    Result<void> fed = parser.feed(**piece, events);
    for (const http::SseEvent& event : events) {
      auto progress = decoder->on_event(event.event, event.data, *sink);
      if (!progress) co_return std::unexpected(std::move(progress).error());
      if (*progress == Progress::kComplete) {
        Answer answer = decoder->finish(*sink);
        co_await take_end(response);
        co_return answer;
      }
      if (cancel.cancelled()) co_return std::unexpected(FailureMapper::cancelled());
    }
    if (!fed) co_return std::unexpected(unreadable(*failures, fed.error()));
    if (received > kMaxResponseBytes)
      co_return std::unexpected(failures->broken("more than one answer may hold"));
  }
}

/// A server that does not stream answers with one JSON document.
Task<Answer> read_whole(http::ClientResponse* response, StreamDecoder* decoder,
                        const FailureMapper* failures, ModelSink* sink, async::CancelToken cancel) {
  auto body = co_await response->read_all(kMaxEventBytes);
  if (cancel.cancelled()) co_return std::unexpected(FailureMapper::cancelled());
  if (!body) co_return std::unexpected(failures->from_transport(body.error()));
  auto progress = decoder->on_event("message", *body, *sink);
  if (!progress) co_return std::unexpected(std::move(progress).error());
  co_return decoder->finish(*sink);
}

}  // namespace

http::SseEvent event_of_frame(const EventStreamMessage& message) {
  std::string_view type = message.text(":message-type");
  if (type == "exception")
    return {std::string(kExceptionEvent) + std::string(message.text(":exception-type")),
            message.payload, ""};
  if (type == "error") {
    std::string data = ObjectText().add("message", message.text(":error-message")).text();
    return {std::string(kExceptionEvent) + std::string(message.text(":error-code")),
            std::move(data), ""};
  }
  return {std::string(message.text(":event-type")), message.payload, ""};
}

Task<Answer> streamed_call(CallParts parts, FailureMapper failures, http::ClientRequest request,
                           std::unique_ptr<StreamDecoder> decoder, async::CancelToken cancel) {
  auto stop = std::make_shared<std::stop_source>();
  // The token may outlive this call by far: its callback must find nothing then.
  cancel.on_cancel([weak = std::weak_ptr(stop)] {
    if (auto alive = weak.lock()) alive->request_stop();
  });
  request.stop = stop->get_token();
  auto sent = co_await parts.client->send(std::move(request));
  if (cancel.cancelled()) co_return std::unexpected(FailureMapper::cancelled());
  if (!sent) co_return std::unexpected(failures.from_transport(sent.error()));

  http::ClientResponse* response = sent->get();
  if (response->status() < 200 || response->status() > 299) {
    std::string body = co_await read_error_body(response);
    if (cancel.cancelled()) co_return std::unexpected(FailureMapper::cancelled());
    co_return std::unexpected(
        failures.from_status(response->status(), response->headers(), body, parts.env->now()));
  }
  decoder->on_head(response->headers(), *parts.sink);
  Answer answer =
      says_json(response->headers())
          ? co_await read_whole(response, decoder.get(), &failures, parts.sink, cancel)
          : co_await read_stream(response, decoder.get(), &failures, parts.sink, cancel);
  if (!answer) answer.error().begun = true;
  co_return answer;
}

}  // namespace perdure::models
