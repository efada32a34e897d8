// What a command has said, for somebody who reads only so much: the begin and the end are kept,
// what lies between is counted.
//
// A value. Bytes, not text: a cut may fall into a character.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace perdure::executor {

class CappedOutput {
 public:
  CappedOutput() = default;
  CappedOutput(std::size_t head_bytes, std::size_t tail_bytes)
      : head_bytes_(head_bytes), tail_bytes_(tail_bytes) {}

  void add(std::string_view bytes);
  /// Bytes that came and are not in here, because the executor has lost them already.
  void add_lost(std::uint64_t bytes) {
    left_out_ += bytes;
    total_ += bytes;
  }

  const std::string& head() const { return head_; }
  /// What came last; it follows `head` without a gap where nothing was left out.
  std::string_view tail() const;
  std::uint64_t left_out() const;
  std::uint64_t total() const { return total_; }
  /// Both, with a line that says how much is missing where something is.
  std::string text() const;

 private:
  std::size_t head_bytes_ = 0, tail_bytes_ = 0;
  std::string head_, tail_;  ///< the tail has up to twice its bytes, to be cut rarely
  std::uint64_t left_out_ = 0, total_ = 0;
};

}  // namespace perdure::executor
