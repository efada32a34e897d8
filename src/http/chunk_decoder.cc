#include "http/chunk_decoder.h"

#include <algorithm>

#include "http/ascii.h"
#include "http/limits.h"

namespace perdure::http {

ChunkDecoder::State ChunkDecoder::decode(std::string_view input, std::size_t& consumed,
                                         std::string& body) {
  std::size_t at = 0;
  State state = step_ == Step::kEnd ? State::kDone : State::kMore;
  while (state == State::kMore && at < input.size()) {
    if (step_ != Step::kData) {
      state = take(input[at++]);
      continue;
    }
    std::size_t run = static_cast<std::size_t>(std::min<std::uint64_t>(size_, input.size() - at));
    body.append(input.substr(at, run));
    at += run;
    size_ -= run;
    if (size_ == 0) step_ = Step::kDataCr;
  }
  consumed = at;
  return state;
}

ChunkDecoder::State ChunkDecoder::take(char c) {
  switch (step_) {
    case Step::kSizeStart:
      size_ = digits_ = line_bytes_ = 0;
      return take_size_digit(c);
    case Step::kSize:
      if (c == '\r')
        step_ = Step::kSizeLf;
      else if (c == ';')
        step_ = Step::kExtension;
      else if (c == ' ' || c == '\t')
        step_ = Step::kSizeSpace;
      else
        return take_size_digit(c);
      return State::kMore;
    case Step::kSizeSpace:
      if (c == ';')
        step_ = Step::kExtension;
      else if ((c != ' ' && c != '\t') || ++line_bytes_ > kMaxChunkLine)
        return State::kMalformed;
      return State::kMore;
    case Step::kExtension:
      if (c == '\r')
        step_ = Step::kSizeLf;
      else if (!is_field_value_char(c) || ++line_bytes_ > kMaxChunkLine)
        return State::kMalformed;
      return State::kMore;
    case Step::kSizeLf:
      return c == '\n' ? end_size_line() : State::kMalformed;
    case Step::kDataCr:
      step_ = Step::kDataLf;
      return c == '\r' ? State::kMore : State::kMalformed;
    case Step::kDataLf:
      step_ = Step::kSizeStart;
      return c == '\n' ? State::kMore : State::kMalformed;
    case Step::kTrailerStart:
      if (c == '\r') {
        step_ = Step::kEndLf;
        return State::kMore;
      }
      if (c == ':') return State::kMalformed;
      step_ = Step::kTrailerName;
      [[fallthrough]];
    case Step::kTrailerName:
      if (++trailer_bytes_ > kMaxTrailerBytes) return State::kMalformed;
      if (c == ':')
        step_ = Step::kTrailerValue;
      else if (!is_token_char(c))
        return State::kMalformed;
      return State::kMore;
    case Step::kTrailerValue:
      if (++trailer_bytes_ > kMaxTrailerBytes) return State::kMalformed;
      if (c == '\r')
        step_ = Step::kTrailerLf;
      else if (!is_field_value_char(c))
        return State::kMalformed;
      return State::kMore;
    case Step::kTrailerLf:
      step_ = Step::kTrailerStart;
      return c == '\n' ? State::kMore : State::kMalformed;
    case Step::kEndLf:
      step_ = Step::kEnd;
      return c == '\n' ? State::kDone : State::kMalformed;
    case Step::kData:
    case Step::kEnd:
      break;
  }
  return State::kMalformed;
}

ChunkDecoder::State ChunkDecoder::take_size_digit(char c) {
  unsigned digit;
  if (c >= '0' && c <= '9')
    digit = static_cast<unsigned>(c - '0');
  else if (to_lower(c) >= 'a' && to_lower(c) <= 'f')
    digit = static_cast<unsigned>(to_lower(c) - 'a' + 10);
  else
    return State::kMalformed;
  if (++digits_ > 16) return State::kMalformed;
  size_ = size_ << 4 | digit;
  step_ = Step::kSize;
  return State::kMore;
}

ChunkDecoder::State ChunkDecoder::end_size_line() {
  if (size_ == 0) {
    step_ = Step::kTrailerStart;
    return State::kMore;
  }
  if (size_ > left_in_body_) return State::kTooLarge;
  left_in_body_ -= static_cast<std::size_t>(size_);
  step_ = Step::kData;
  return State::kMore;
}

}  // namespace perdure::http
