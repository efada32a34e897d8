// The engine's stated limits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::engine {

/// Inputs of one batch.
inline constexpr std::size_t kMaxInputsPerBatch = 64;
/// Messages that wait for a running turn's next model call.
inline constexpr std::size_t kMaxQueuedInputs = 256;
/// Function calls of one model response.
inline constexpr std::size_t kMaxCallsPerResponse = 128;
/// Events a subscriber may be behind before it falls back to the journal.
inline constexpr std::size_t kMaxQueuedEvents = 1024;
/// The same in bytes of text.
inline constexpr std::size_t kMaxQueuedEventBytes = 4 << 20;
/// Subscribers of one session.
inline constexpr std::size_t kMaxSubscribers = 1024;
/// Entries between two snapshots, or …
inline constexpr std::uint64_t kSnapshotEntries = 64;
/// … bytes of entry bodies.
inline constexpr std::size_t kSnapshotBytes = 256 << 10;
/// Text of one model answer; the call is abandoned beyond.
inline constexpr std::size_t kMaxAnswerBytes = 8 << 20;
/// Recoveries that may crash the process before a session is quarantined.
inline constexpr int kMaxRecoveryCrashes = 3;
/// Pause before a model call is tried again, doubled each time, with jitter.
inline constexpr std::int64_t kFirstRetryMs = 500;
inline constexpr std::int64_t kLongestRetryMs = 30'000;

}  // namespace perdure::engine
