// The decoder of Amazon's frames gives the same messages however its input is cut, and what it read
// is written as the very bytes it was read from. Checksums would stop all else at the door: the
// second half of the inputs has them put right first.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_stream.h"

namespace {

using perdure::crc32;
using perdure::EventStreamDecoder;
using perdure::EventStreamMessage;

// Small, so that they are met.
constexpr perdure::EventStreamLimits kLimits{.max_headers = 64, .max_payload = 100};

struct Outcome {
  std::vector<EventStreamMessage> messages;
  bool failed = false;
  bool between_frames = false;
  bool operator==(const Outcome&) const = default;
};

Outcome parse(std::string_view stream, std::size_t piece) {
  EventStreamDecoder decoder(kLimits);
  Outcome outcome;
  for (std::size_t at = 0; at < stream.size() && !outcome.failed; at += piece)
    outcome.failed = !decoder.feed(stream.substr(at, piece), outcome.messages);
  outcome.between_frames = !outcome.failed && decoder.between_frames();
  return outcome;
}

void put_number(std::string& text, std::size_t at, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) text[at++] = static_cast<char>(number >> shift);
}

/// One frame around the input: its first byte says how much of the rest is headers.
std::string with_checksums(std::string_view input) {
  std::size_t headers = static_cast<unsigned char>(input[0]) % input.size();
  std::string frame(12, '\0');
  frame += input.substr(1);
  put_number(frame, 0, static_cast<std::uint32_t>(frame.size() + 4));
  put_number(frame, 4, static_cast<std::uint32_t>(headers));
  put_number(frame, 8, crc32(std::string_view(frame).substr(0, 8)));
  std::uint32_t crc = crc32(frame);
  frame.resize(frame.size() + 4);
  put_number(frame, frame.size() - 4, crc);
  return frame;
}

void check(std::string_view stream) {
  Outcome whole = parse(stream, stream.size() + 1);
  for (std::size_t piece : {1, 3, 13}) {
    if (parse(stream, piece) == whole) continue;
    std::fprintf(stderr, "violated: the cut of the stream changes what is read\n");
    std::abort();
  }
  std::string written;
  for (const EventStreamMessage& message : whole.messages) {
    auto frame = encode_event_stream(message, kLimits);
    if (!frame) {
      // A value may be longer when read than may be written.
      if (frame.error().message.find("too long") != std::string::npos) return;
      std::abort();
    }
    written += *frame;
  }
  if (stream.starts_with(written)) return;
  std::fprintf(stderr, "violated: what was read is not written as it was\n");
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  check(input);
  if (!input.empty()) {
    std::string frame = with_checksums(input);
    check(frame + frame);
  }
  return 0;
}
