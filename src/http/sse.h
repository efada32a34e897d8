// Server-sent events: their text, and the bounded queue between a session and one subscriber.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "async/signal.h"
#include "http/limits.h"
#include "http/message.h"

namespace perdure::http {

/// Appends one event. Empty `id` and `event` are left out; every line of `data` (ended by CR, LF or
/// both) gets its own "data:" line. Line ends and NULs in `id` and `event` are dropped: they would
/// end the field.
void append_sse_event(std::string& out, std::string_view id, std::string_view event,
                      std::string_view data);
std::string sse_event(std::string_view id, std::string_view event, std::string_view data);
/// The comment that keeps a quiet stream alive.
inline constexpr std::string_view kSseHeartbeat = ":\n\n";

/// A 200 with the header fields of an event stream and the heartbeat.
Response sse_response(std::unique_ptr<ByteStream> stream);

/// The events that one subscriber has not been sent yet.
///
/// Owned by its connection; fed by whoever publishes, on the same loop. The journal is the truth,
/// so the queue may refuse: `push` returns false once a limit is reached, and then the publisher
/// stops pushing, keeps its cursor and waits for `on_room`, which is called when the subscriber has
/// taken everything; there it reads on from the journal. `on_gone` is called from the destructor
/// (the client left, or the body ended): the last moment at which the publisher's pointer is valid.
class SseQueue final : public ByteStream {
 public:
  struct Limits {
    std::size_t bytes = kSseQueueBytes;
    std::size_t events = kSseQueueEvents;
  };
  /// Either may be empty. They run on the loop, inside the queue: `on_room` may push and close, not
  /// destroy.
  struct Callbacks {
    std::function<void()> on_room;
    std::function<void()> on_gone;
  };

  SseQueue(const async::Executor& executor, Limits limits, Callbacks callbacks);
  ~SseQueue() override;

  /// Adds text of one or more whole events, shared between subscribers. False: not added, the
  /// subscriber has fallen behind. An empty queue takes a text of any size.
  bool push(std::shared_ptr<const std::string> text);
  /// Nothing follows: the body ends after what is queued.
  void close();

  std::size_t queued_bytes() const { return bytes_; }

  Task<std::optional<std::string>> next() override;
  void wake() override;
  bool ready() const override { return !events_.empty() || closed_; }

 private:
  /// Queued events as one piece of about kStreamPiece.
  std::string take();

  Limits limits_;
  Callbacks callbacks_;
  async::Signal changed_;
  std::deque<std::shared_ptr<const std::string>> events_;
  std::size_t bytes_ = 0;
  bool behind_ = false;
  bool closed_ = false;
  bool woken_ = false;
};

}  // namespace perdure::http
