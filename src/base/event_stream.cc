#include "base/event_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "base/bytes.h"

namespace perdure {
namespace {

constexpr std::size_t kPreludeBytes = 12;
constexpr std::size_t kFrameBytes = kPreludeBytes + 4;  // without headers and payload
constexpr std::size_t kMaxNameBytes = 255;
constexpr std::size_t kMaxValueBytes = 32767;

/// What stands on the wire for each type.
enum Type : std::uint8_t {
  kTrue,
  kFalse,
  kByte,
  kShort,
  kInteger,
  kLong,
  kBytes,
  kString,
  kTimestamp,
  kUuid,
};

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t n = 0; n < 256; ++n) {
    std::uint32_t crc = n;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
    table[n] = crc;
  }
  return table;
}
constexpr std::array<std::uint32_t, 256> kCrcTable = make_crc_table();

std::uint64_t read_number(std::string_view bytes) {
  std::uint64_t number = 0;
  for (unsigned char byte : bytes) number = number << 8 | byte;
  return number;
}

void append_number(std::string& out, std::uint64_t number, std::size_t size) {
  while (size-- > 0) out += static_cast<char>(number >> (8 * size) & 0xFF);
}

std::unexpected<Error> broken(std::string message) {
  return fail(ErrorCode::kUpstream, std::move(message));
}

/// Reads the headers of one frame; every read is checked against their end.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : rest_(text) {}

  Result<std::vector<EventStreamHeader>> all() {
    std::vector<EventStreamHeader> headers;
    while (!rest_.empty()) {
      TRY(header, one());
      if (std::ranges::find(headers, header.name, &EventStreamHeader::name) != headers.end())
        return broken(fmt::format("a frame with the header '{}' twice", header.name));
      headers.push_back(std::move(header));
    }
    return headers;
  }

 private:
  Result<EventStreamHeader> one() {
    TRY(length, number(1));
    TRY(name, take(length));
    if (name.empty() || !is_valid_utf8(name)) return broken("a frame with a header without a name");
    TRY(type, number(1));
    TRY(read, value(static_cast<std::uint8_t>(type)));
    return EventStreamHeader{std::string(name), std::move(read)};
  }

  Result<EventStreamValue> value(std::uint8_t type) {
    switch (type) {
      case kTrue:
        return EventStreamValue(true);
      case kFalse:
        return EventStreamValue(false);
      case kByte:
        return integer<std::int8_t>();
      case kShort:
        return integer<std::int16_t>();
      case kInteger:
        return integer<std::int32_t>();
      case kLong:
        return integer<std::int64_t>();
      case kBytes: {
        TRY(bytes, sized());
        return EventStreamValue(EventStreamBytes{std::string(bytes)});
      }
      case kString: {
        TRY(text, sized());
        if (!is_valid_utf8(text)) return broken("a frame with a header that is not valid UTF-8");
        return EventStreamValue(std::string(text));
      }
      case kTimestamp: {
        TRY(time, number(8));
        return EventStreamValue(EventStreamTimestamp{static_cast<std::int64_t>(time)});
      }
      case kUuid: {
        TRY(bytes, take(16));
        EventStreamUuid uuid;
        std::ranges::copy(bytes, uuid.bytes.begin());
        return EventStreamValue(uuid);
      }
      default:
        return broken(fmt::format("a frame with a header of the unknown type {}", type));
    }
  }

  template <class Integer>
  Result<EventStreamValue> integer() {
    TRY(bits, number(sizeof(Integer)));
    return EventStreamValue(std::in_place_type<Integer>,
                            static_cast<Integer>(static_cast<std::make_unsigned_t<Integer>>(bits)));
  }

  Result<std::string_view> sized() {
    TRY(length, number(2));
    return take(length);
  }

  Result<std::uint64_t> number(std::size_t size) {
    TRY(bytes, take(size));
    return read_number(bytes);
  }

  Result<std::string_view> take(std::size_t size) {
    if (rest_.size() < size) return broken("a frame with a header that ends in its middle");
    std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
};

/// Writes a header's type and value.
struct ValueWriter {
  std::string& out;

  void type(Type type) { out += static_cast<char>(type); }
  bool sized(Type as, std::string_view bytes) {
    if (bytes.size() > kMaxValueBytes) return false;
    type(as);
    append_number(out, bytes.size(), 2);
    out += bytes;
    return true;
  }
  bool number(Type as, std::uint64_t bits, std::size_t size) {
    type(as);
    append_number(out, bits, size);
    return true;
  }

  bool operator()(bool value) {
    type(value ? kTrue : kFalse);
    return true;
  }
  bool operator()(std::int8_t value) { return number(kByte, static_cast<std::uint8_t>(value), 1); }
  bool operator()(std::int16_t value) {
    return number(kShort, static_cast<std::uint16_t>(value), 2);
  }
  bool operator()(std::int32_t value) {
    return number(kInteger, static_cast<std::uint32_t>(value), 4);
  }
  bool operator()(std::int64_t value) {
    return number(kLong, static_cast<std::uint64_t>(value), 8);
  }
  bool operator()(const EventStreamBytes& value) { return sized(kBytes, value.bytes); }
  bool operator()(const std::string& value) {
    return is_valid_utf8(value) && sized(kString, value);
  }
  bool operator()(const EventStreamTimestamp& value) {
    return number(kTimestamp, static_cast<std::uint64_t>(value.unix_milliseconds), 8);
  }
  bool operator()(const EventStreamUuid& value) {
    type(kUuid);
    out.append(value.bytes.begin(), value.bytes.end());
    return true;
  }
};

}  // namespace

std::uint32_t crc32(std::string_view bytes, std::uint32_t crc) {
  crc = ~crc;
  for (unsigned char byte : bytes) crc = kCrcTable[(crc ^ byte) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

std::string_view EventStreamMessage::text(std::string_view name) const {
  auto found = std::ranges::find(headers, name, &EventStreamHeader::name);
  if (found == headers.end()) return {};
  const auto* value = std::get_if<std::string>(&found->value);
  return value ? std::string_view(*value) : std::string_view();
}

Result<void> EventStreamDecoder::feed(std::string_view bytes,
                                      std::vector<EventStreamMessage>& messages) {
  if (failed_) return std::unexpected(*failed_);
  buffer_ += bytes;
  std::string_view rest = buffer_;
  while (true) {
    auto taken = take_frame(rest, messages);
    if (!taken) {
      failed_ = taken.error();
      buffer_.clear();
      return std::unexpected(*failed_);
    }
    if (!*taken) break;
  }
  buffer_.erase(0, buffer_.size() - rest.size());
  return {};
}

Result<bool> EventStreamDecoder::take_frame(std::string_view& rest,
                                            std::vector<EventStreamMessage>& messages) const {
  if (rest.size() < kPreludeBytes) return false;
  std::uint64_t total = read_number(rest.substr(0, 4));
  std::uint64_t headers = read_number(rest.substr(4, 4));
  if (read_number(rest.substr(8, 4)) != crc32(rest.substr(0, 8)))
    return broken("something that is not an event stream (the checksum of a prelude is wrong)");
  if (total < kFrameBytes || headers > total - kFrameBytes)
    return broken("a frame whose lengths contradict each other");
  std::uint64_t payload = total - kFrameBytes - headers;
  if (headers > limits_.max_headers || payload > limits_.max_payload)
    return fail(ErrorCode::kTooLarge, fmt::format("A frame of {} bytes is over the limit.", total));
  if (rest.size() < total) return false;

  std::string_view frame = rest.substr(0, total);
  if (read_number(frame.substr(total - 4)) != crc32(frame.substr(0, total - 4)))
    return broken("a frame whose checksum is wrong");
  EventStreamMessage message;
  TRY(read, HeaderReader(frame.substr(kPreludeBytes, headers)).all());
  message.headers = std::move(read);
  message.payload = frame.substr(kPreludeBytes + headers, payload);
  messages.push_back(std::move(message));
  rest.remove_prefix(total);
  return true;
}

Result<std::string> encode_event_stream(const EventStreamMessage& message,
                                        EventStreamLimits limits) {
  std::string headers;
  for (auto header = message.headers.begin(); header != message.headers.end(); ++header) {
    if (header->name.empty() || header->name.size() > kMaxNameBytes || !is_valid_utf8(header->name))
      return fail(ErrorCode::kInvalidArgument, "A header's name is not 1 to 255 bytes of text.");
    if (std::find_if(message.headers.begin(), header, [&](const EventStreamHeader& other) {
          return other.name == header->name;
        }) != header)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The header '{}' is given twice.", header->name));
    append_number(headers, header->name.size(), 1);
    headers += header->name;
    if (!std::visit(ValueWriter{headers}, header->value))
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The value of the header '{}' is too long or not valid UTF-8.",
                              header->name));
  }
  if (headers.size() > limits.max_headers || message.payload.size() > limits.max_payload)
    return fail(ErrorCode::kInvalidArgument, "The message is larger than a frame may be.");
  std::string frame;
  frame.reserve(kFrameBytes + headers.size() + message.payload.size());
  append_number(frame, kFrameBytes + headers.size() + message.payload.size(), 4);
  append_number(frame, headers.size(), 4);
  append_number(frame, crc32(frame), 4);
  frame += headers;
  frame += message.payload;
  append_number(frame, crc32(frame), 4);
  return frame;
}

}  // namespace perdure
