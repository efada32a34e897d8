// Bytes received and not yet understood: one block that grows, moves its rest to the front, and
// vanishes when it is empty.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace perdure::http {

class ReadBuffer {
 public:
  bool empty() const { return begin_ == end_; }
  std::size_t size() const { return end_ - begin_; }
  std::string_view view() const { return {block_.get() + begin_, size()}; }
  void consume(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  void release() {
    block_.reset();
    begin_ = end_ = capacity_ = 0;
  }

  /// Room for at least `bytes` more.
  char* prepare(std::size_t bytes) {
    if (capacity_ - end_ < bytes) make_room(bytes);
    return block_.get() + end_;
  }
  std::size_t room() const { return capacity_ - end_; }
  void commit(std::size_t bytes) { end_ += bytes; }

 private:
  void make_room(std::size_t bytes) {
    if (capacity_ - size() >= bytes) {
      std::memmove(block_.get(), block_.get() + begin_, size());
    } else {
      std::size_t capacity = capacity_ * 2 > size() + bytes ? capacity_ * 2 : size() + bytes;
      std::unique_ptr<char[]> block(new char[capacity]);
      if (!empty()) std::memcpy(block.get(), block_.get() + begin_, size());
      block_ = std::move(block);
      capacity_ = capacity;
    }
    end_ = size();
    begin_ = 0;
  }

  std::unique_ptr<char[]> block_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace perdure::http
