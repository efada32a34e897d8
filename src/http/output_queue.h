// Whole pieces waiting to be written, taken in gathered writes. Costs nothing while empty.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace perdure::http {

class OutputQueue {
 public:
  bool empty() const { return first_ == pieces_.size(); }
  std::size_t bytes() const { return bytes_; }

  void push(std::string piece) {
    if (piece.empty()) return;
    bytes_ += piece.size();
    pieces_.push_back(std::move(piece));
  }

  /// Fills `out` with the next pieces and says how many it filled.
  std::size_t gather(iovec* out, std::size_t limit) {
    std::size_t count = 0;
    std::size_t skip = written_;
    for (std::size_t i = first_; i < pieces_.size() && count < limit; ++i) {
      out[count++] = {pieces_[i].data() + skip, pieces_[i].size() - skip};
      skip = 0;
    }
    return count;
  }

  /// Takes off what was written.
  void consume(std::size_t count) {
    bytes_ -= count;
    written_ += count;
    while (first_ < pieces_.size() && written_ >= pieces_[first_].size()) {
      written_ -= pieces_[first_].size();
      pieces_[first_++] = std::string();
    }
    if (empty()) clear();
  }

  void clear() {
    pieces_.clear();
    first_ = written_ = bytes_ = 0;
  }

 private:
  std::vector<std::string> pieces_;
  std::size_t first_ = 0;    // of pieces_ not wholly written
  std::size_t written_ = 0;  // of that piece
  std::size_t bytes_ = 0;
};

}  // namespace perdure::http
