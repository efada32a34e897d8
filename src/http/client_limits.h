// The stated limits of the outgoing side; what an answer's head may hold is in limits.h.
#pragma once

#include <cstddef>

namespace perdure::http {

/// What is read from a connection at once.
inline constexpr std::size_t kClientReadBuffer = 16 << 10;
/// A body up to this size is sent in one piece with its head.
inline constexpr std::size_t kMaxJoinedBody = 16 << 10;
/// 1xx answers before the real one.
inline constexpr int kMaxInterimAnswers = 16;
/// Idle connections kept over all hosts.
inline constexpr std::size_t kMaxIdleConnections = 512;

}  // namespace perdure::http
