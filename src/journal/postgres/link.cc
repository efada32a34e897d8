#include "journal/postgres/link.h"

#include <algorithm>
#include <chrono>

#include "journal/postgres/limits.h"

namespace perdure::journal::postgres {
namespace {

std::int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Outcome<Answers> Link::ask(const std::vector<Statement>& statements, std::int64_t timeout_ms) {
  bool was_connected = connection_ != nullptr;
  Outcome<Answers> answers = ask_once(statements, timeout_ms);
  if (!answers && answers.error().lost && was_connected) answers = ask_once(statements, timeout_ms);
  return answers;
}

Outcome<Answers> Link::ask_once(const std::vector<Statement>& statements, std::int64_t timeout_ms) {
  if (!connection_) {
    if (steady_ms() < not_before_ms_) return std::unexpected(last_);
    auto opened = Connection::open(target_, interrupt_);
    if (!opened) {
      last_ = std::move(opened).error();
      pause_ms_ = std::clamp(pause_ms_ * 2, kFirstPauseMs, kLongestPauseMs);
      not_before_ms_ = steady_ms() + pause_ms_;
      return std::unexpected(last_);
    }
    connection_ = std::move(*opened);
    pause_ms_ = 0;
  }
  Outcome<Answers> answers = connection_->run(statements, timeout_ms);
  if (!answers && answers.error().lost) connection_.reset();
  return answers;
}

}  // namespace perdure::journal::postgres
