// The journal's stated limits.
#pragma once

#include <cstddef>

namespace perdure::journal {

/// Entries of one append.
inline constexpr std::size_t kMaxEntriesPerAppend = 512;
/// Body of one entry.
inline constexpr std::size_t kMaxEntryBytes = 32 << 20;
/// Bodies above this go to the blob table, committed before the append that names them.
inline constexpr std::size_t kBlobThreshold = 16 << 10;
/// Appends that share one transaction.
inline constexpr std::size_t kMaxGroup = 64;
/// Appends of one project that may wait for the writer; more are kRateLimited.
inline constexpr std::size_t kMaxQueuedPerProject = 4096;
/// Read-only connections of the embedded store.
inline constexpr std::size_t kReadConnections = 3;
/// Answer kept for an idempotency key.
inline constexpr std::size_t kMaxStoredAnswer = 256 << 10;
/// Preallocated space that lets results of effects commit on a full disk.
inline constexpr std::size_t kDiskReserve = 8 << 20;
/// The write-ahead log is checkpointed into the database past this many pages of 4 KiB.
inline constexpr int kCheckpointPages = 1000;

}  // namespace perdure::journal
