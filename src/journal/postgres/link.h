// A connection that is made when it is needed, and not more often than makes sense: for threads
// whose runs may be asked twice.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "journal/postgres/connection.h"

namespace perdure::journal::postgres {

/// Belongs to one thread.
class Link {
 public:
  Link(const Target& target, Interrupt& interrupt) : target_(target), interrupt_(interrupt) {}

  /// A run that found its connection broken is sent again over a new one: the old one may have
  /// died long ago, while nobody looked. So it must be one that may be done twice.
  Outcome<Answers> ask(const std::vector<Statement>& statements, std::int64_t timeout_ms);
  /// Connection::warned of the last run.
  bool warned() const { return connection_ && connection_->warned(); }

 private:
  Outcome<Answers> ask_once(const std::vector<Statement>& statements, std::int64_t timeout_ms);

  const Target& target_;
  Interrupt& interrupt_;
  std::unique_ptr<Connection> connection_;
  Failure last_;
  std::int64_t pause_ms_ = 0;
  std::int64_t not_before_ms_ = 0;
};

}  // namespace perdure::journal::postgres
