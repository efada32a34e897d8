// What a process has said, in numbered pieces: the first bytes and the last ones are kept.
//
// A value, owned by its process. Numbers count all events of the process, its end included, without
// a gap; pieces in the middle vanish when there is more than kOutputHeadBytes + kOutputTailBytes,
// and `dropped_bytes` says how much.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace perdure::executor::runner {

enum class OutputStream { kStdout, kStderr, kPty };

struct OutputPiece {
  std::uint64_t seq = 0;
  OutputStream stream = OutputStream::kStdout;
  std::string bytes;
};

class OutputLog {
 public:
  /// The number of the next event; taking it is `add` or `take_number`.
  std::uint64_t next_seq() const { return next_seq_; }
  std::uint64_t take_number() { return next_seq_++; }
  const OutputPiece& add(OutputStream stream, std::string bytes);

  struct Answer {
    std::vector<const OutputPiece*> pieces;
    bool more = false;  ///< pieces were left out because of `max_bytes`
  };
  /// Pieces with numbers above `after`: at least one, if there is one.
  Answer read(std::uint64_t after, std::size_t max_bytes) const;

  std::uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  std::uint64_t next_seq_ = 1;
  std::deque<OutputPiece> head_, tail_;
  std::size_t head_cost_ = 0, tail_cost_ = 0;
  std::uint64_t dropped_bytes_ = 0;
};

}  // namespace perdure::executor::runner
