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
/// Subscribers of one session, live or catching up.
inline constexpr std::size_t kMaxSubscribers = 1024;
/// The last entry that ids can name: 4 thousand million, no session's length but a bound.
inline constexpr std::uint64_t kLastSeq = 0xffff'ffff;
/// Sessions that have left memory before the allocator's free space goes back to the system.
inline constexpr std::size_t kCrowd = 100;
/// Entries between two snapshots, or …
inline constexpr std::uint64_t kSnapshotEntries = 64;
/// … bytes of entry bodies.
inline constexpr std::size_t kSnapshotBytes = 256 << 10;
/// Text of one model answer; the call is abandoned beyond.
inline constexpr std::size_t kMaxAnswerBytes = 8 << 20;
/// Arguments of all calls of one model answer: they stay in the session's state until answered.
inline constexpr std::size_t kMaxArgumentsBytes = 4 << 20;
/// What a tool gives the model; more is cut.
inline constexpr std::size_t kMaxToolOutputBytes = 1 << 20;
/// A list of a server's tools that is older than this is asked for again when a turn begins.
inline constexpr std::int64_t kToolListMs = 10 * 60'000;
/// Recoveries that may crash the process before a session is quarantined.
inline constexpr int kMaxRecoveryCrashes = 3;
/// How often a model call may look for a pool in vain before its turn fails.
inline constexpr int kMaxRouteWaits = 30;
/// What an image is taken to be for the size of a context, whatever its bytes.
inline constexpr std::int64_t kTokensPerImage = 1'000;

/// Output tokens that are put aside for a call of a model without max_output_tokens.
inline constexpr std::int64_t kExpectedAnswerTokens = 8192;

}  // namespace perdure::engine
