// Frames of Amazon's event streams (application/vnd.amazon.eventstream), in both directions.
//
// A frame is a prelude (total length, length of the headers, CRC-32 of both), typed headers, a
// payload, and a CRC-32 of all before it; numbers are big-endian:
//
//   u32 total | u32 headers | u32 crc | headers … | payload … | u32 crc
//   header:  u8 name length | name | u8 type | value
//
// The decoder takes any cut of the stream and gives each message once its last byte has come and
// its checksums are right. It is strict: a frame that is not exactly this ends the stream, because
// nothing behind it can be trusted. Values of one stream, used on one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace perdure {

/// CRC-32 as of ISO 3309 (zlib's), continued from `crc` of what came before.
std::uint32_t crc32(std::string_view bytes, std::uint32_t crc = 0);

struct EventStreamTimestamp {
  std::int64_t unix_milliseconds = 0;
  bool operator==(const EventStreamTimestamp&) const = default;
};
struct EventStreamBytes {
  std::string bytes;
  bool operator==(const EventStreamBytes&) const = default;
};
struct EventStreamUuid {
  std::array<std::uint8_t, 16> bytes{};
  bool operator==(const EventStreamUuid&) const = default;
};

/// The ten types of the wire (true and false are two of them).
using EventStreamValue =
    std::variant<bool, std::int8_t, std::int16_t, std::int32_t, std::int64_t, EventStreamBytes,
                 std::string, EventStreamTimestamp, EventStreamUuid>;

struct EventStreamHeader {
  std::string name;  ///< 1 to 255 bytes of UTF-8, once in a message
  EventStreamValue value;
  bool operator==(const EventStreamHeader&) const = default;
};

struct EventStreamMessage {
  std::vector<EventStreamHeader> headers;
  std::string payload;

  /// The header's text; empty where there is none of that name, or it is no text.
  std::string_view text(std::string_view name) const;
  bool operator==(const EventStreamMessage&) const = default;
};

struct EventStreamLimits {
  std::size_t max_headers = 128 << 10;  ///< bytes of all headers together
  std::size_t max_payload = 24 << 20;
};

class EventStreamDecoder {
 public:
  explicit EventStreamDecoder(EventStreamLimits limits = {}) : limits_(limits) {}

  /// Appends the messages that `bytes` complete. kTooLarge past a limit, before the frame is
  /// waited for; kUpstream for what is not a frame. The messages before it have been given, and
  /// every further call fails the same way.
  Result<void> feed(std::string_view bytes, std::vector<EventStreamMessage>& messages);

  /// Whether the stream may end here: no frame has begun.
  bool between_frames() const { return buffer_.empty(); }

 private:
  /// Takes the frame that `rest` begins with off it; false where it is not all there.
  Result<bool> take_frame(std::string_view& rest, std::vector<EventStreamMessage>& messages) const;

  EventStreamLimits limits_;
  std::string buffer_;  ///< the beginning of a frame whose end has not come
  std::optional<Error> failed_;
};

/// The message's frame. kInvalidArgument where it cannot be said: a name or value that is too long
/// or not UTF-8, a name given twice, or more than the limits allow.
Result<std::string> encode_event_stream(const EventStreamMessage& message,
                                        EventStreamLimits limits = {});

}  // namespace perdure
