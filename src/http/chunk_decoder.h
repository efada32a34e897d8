// Decodes a body sent with "Transfer-Encoding: chunked" (RFC 9112 §7.1), strictly and in one pass.
//
// Any cut of the input gives the same result, and every byte offered is consumed until the body
// ends, so the caller needs no buffer of its own. Extensions and the trailer are checked and
// ignored. What two readers could frame differently (a bare LF, a sign or spaces around the size, a
// size past 64 bits) is malformed. No I/O; a value of one message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace perdure::http {

class ChunkDecoder {
 public:
  enum class State { kMore, kDone, kMalformed, kTooLarge };

  /// `max_body`: bytes of data over all chunks.
  explicit ChunkDecoder(std::size_t max_body) : left_in_body_(max_body) {}

  /// Reads from `input`, appends data to `body` and says in `consumed` how far it came. After kMore
  /// all input is consumed; after kDone the rest of the input belongs to the next message.
  State decode(std::string_view input, std::size_t& consumed, std::string& body);

 private:
  enum class Step {
    kSizeStart,  // the first digit of a chunk's size
    kSize,
    kSizeSpace,  // blanks between the size and an extension
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,  // a field, or the end
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
    kEnd,
  };
  State take(char c);
  State take_size_digit(char c);
  State end_size_line();

  Step step_ = Step::kSizeStart;
  std::uint64_t size_ = 0;  // of this chunk; while in kData, what is left of it
  std::size_t digits_ = 0;
  std::size_t line_bytes_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::size_t left_in_body_;
};

}  // namespace perdure::http
