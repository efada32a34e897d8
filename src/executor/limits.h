// What this module refuses to exceed. What comes from an executor is not trusted: programs of a
// model run next to it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::executor {

/// One message of an executor. A file of kMaxFileBytes fits, in base64.
inline constexpr std::size_t kMaxMessageBytes = 12 << 20;
inline constexpr std::size_t kMaxMessageDepth = 16;
/// A file that is read or written with one call; the runner's own limit is the same.
inline constexpr std::size_t kMaxFileBytes = 8 << 20;
/// What an executor's own error sentence may add to ours.
inline constexpr std::size_t kMaxErrorBytes = 600;
/// Ids that an executor hands out.
inline constexpr std::size_t kMaxIdBytes = 256;

/// A call whose answer needs no work that takes long.
inline constexpr std::int64_t kCallMs = 30'000;
/// To an executor that is there: a connection and `initialize`.
inline constexpr std::int64_t kConnectMs = 10'000;
/// Attempts to get a lost connection back, and the pause between them.
inline constexpr int kConnectAttempts = 5;
inline constexpr std::int64_t kConnectPauseMs = 200;
/// Calls of one client that wait for an answer.
inline constexpr std::size_t kMaxOpenCalls = 256;

/// Kept of a command's output unless its caller says otherwise.
inline constexpr std::size_t kOutputHeadBytes = 16 << 10;
inline constexpr std::size_t kOutputTailBytes = 16 << 10;
/// Output that is still to come once a command has exited: who holds it open longer than this is a
/// process that it left behind.
inline constexpr std::int64_t kOutputAfterExitMs = 500;
/// From the request to end a command to giving up on it.
inline constexpr std::int64_t kTerminateMs = 10'000;
/// What the executor's own time limit is above ours: for a server that is not there to end it.
inline constexpr std::int64_t kOwnTimeoutMs = 15'000;

/// From the start of a sandbox to its answer.
inline constexpr std::int64_t kProvisionMs = 20'000;
/// A probe of what the host allows.
inline constexpr std::int64_t kProbeMs = 3'000;
/// How often a watchdog looks at a sandbox that no control group limits.
inline constexpr std::int64_t kWatchMs = 100;
/// From the death of a sandbox's init to its last trace.
inline constexpr std::int64_t kDestroyMs = 10'000;

}  // namespace perdure::executor
