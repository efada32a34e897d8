#include "executor/runner/output_log.h"

#include "executor/runner/limits.h"

namespace perdure::executor::runner {
namespace {

std::size_t cost_of(const OutputPiece& piece) {
  return piece.bytes.size() + kOutputPieceCost;
}

}  // namespace

const OutputPiece& OutputLog::add(OutputStream stream, std::string bytes) {
  OutputPiece piece{take_number(), stream, std::move(bytes)};
  std::size_t cost = cost_of(piece);
  // What once went to the tail stays behind it in order: the head never grows again.
  if (tail_.empty() && dropped_bytes_ == 0 && head_cost_ + cost <= kOutputHeadBytes) {
    head_cost_ += cost;
    return head_.emplace_back(std::move(piece));
  }
  tail_cost_ += cost;
  tail_.push_back(std::move(piece));
  while (tail_cost_ > kOutputTailBytes && tail_.size() > 1) {
    tail_cost_ -= cost_of(tail_.front());
    dropped_bytes_ += tail_.front().bytes.size();
    tail_.pop_front();
  }
  return tail_.back();
}

OutputLog::Answer OutputLog::read(std::uint64_t after, std::size_t max_bytes) const {
  Answer answer;
  std::size_t bytes = 0;
  for (const std::deque<OutputPiece>* part : {&head_, &tail_}) {
    for (const OutputPiece& piece : *part) {
      if (piece.seq <= after) continue;
      if (!answer.pieces.empty() && bytes + piece.bytes.size() > max_bytes) {
        answer.more = true;
        return answer;
      }
      bytes += piece.bytes.size();
      answer.pieces.push_back(&piece);
    }
  }
  return answer;
}

}  // namespace perdure::executor::runner
