// A session's events as a server-sent event stream: the bridge from a Subscription to a connection.
//
// Each event is one SSE message whose data is the event's JSON. Durable events carry an SSE `id`,
// by which the stream can be rejoined; deltas carry none. There are no `event:` lines: clients read
// the type from the JSON, and some take a message named "error" for a broken stream. Padding hides
// how long a delta is from someone who sees only sizes; it belongs to this connection and is never
// stored. Owned by the connection, used on the loop. A subscription that fails ends the stream, and
// the client comes back with the last id it saw.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "http/message.h"

namespace perdure::facades::agents_api {

struct StreamOptions {
  bool obfuscation = true;
  std::uint64_t seed = 0;  ///< of the padding's characters and lengths
};

class EventStream final : public http::ByteStream {
 public:
  EventStream(std::unique_ptr<engine::Subscription> subscription, StreamOptions options);

  http::Task<std::optional<std::string>> next() override;
  void wake() override;

 private:
  /// `payload` is room that the events of a batch share.
  void append(std::string& out, std::string& payload, const engine::SessionEvent& event);
  std::string padding(std::size_t length);
  std::uint64_t random();

  std::unique_ptr<engine::Subscription> subscription_;
  bool obfuscation_;
  std::uint64_t state_;
};

/// A response with the stream as its body.
http::Response stream_response(int status, std::unique_ptr<engine::Subscription> subscription,
                               StreamOptions options);

}  // namespace perdure::facades::agents_api
