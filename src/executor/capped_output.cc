#include "executor/capped_output.h"

#include <fmt/format.h>

#include <algorithm>

namespace perdure::executor {

void CappedOutput::add(std::string_view bytes) {
  total_ += bytes.size();
  if (tail_.empty() && left_out_ == 0) {
    std::size_t taken = std::min(bytes.size(), head_bytes_ - head_.size());
    head_ += bytes.substr(0, taken);
    bytes.remove_prefix(taken);
  }
  if (bytes.size() > tail_bytes_) {
    left_out_ += tail_.size() + bytes.size() - tail_bytes_;
    tail_ = bytes.substr(bytes.size() - tail_bytes_);
    return;
  }
  tail_ += bytes;
  if (tail_.size() > 2 * tail_bytes_) {
    left_out_ += tail_.size() - tail_bytes_;
    tail_.erase(0, tail_.size() - tail_bytes_);
  }
}

std::string_view CappedOutput::tail() const {
  std::string_view tail = tail_;
  if (tail.size() > tail_bytes_) tail.remove_prefix(tail.size() - tail_bytes_);
  return tail;
}

std::uint64_t CappedOutput::left_out() const {
  return left_out_ + (tail_.size() - tail().size());
}

std::string CappedOutput::text() const {
  if (left_out() == 0) return head_ + tail_;
  return fmt::format("{}\n[… {} bytes left out …]\n{}", head_, left_out(), tail());
}

}  // namespace perdure::executor
