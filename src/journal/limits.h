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
/// An idempotency key as the caller sent it, in bytes.
inline constexpr std::size_t kMaxIdempotencyKey = 256;
/// Snapshots kept of one session, the newest; loading an older state folds from the first entry.
inline constexpr std::size_t kSnapshotsKept = 8;
/// Answer kept for an idempotency key.
inline constexpr std::size_t kMaxStoredAnswer = 256 << 10;
/// Preallocated space that lets results of effects commit on a full disk.
inline constexpr std::size_t kDiskReserve = 8 << 20;
/// The write-ahead log is checkpointed into the database past this many pages of 4 KiB.
inline constexpr int kCheckpointPages = 1000;

/// Past this many pages the writer stops taking work until the log was checkpointed whole: readers
/// hold it back for a moment only, so this is a stop against endless growth, not a usual state.
inline constexpr int kMaxLogPages = 16000;
/// Free space beside the reserve before a store that ran full takes work again.
inline constexpr std::size_t kDiskHeadroom = 8 << 20;
/// Budgets of one project; all of them are held in memory while it works.
inline constexpr std::size_t kMaxBudgets = 10'000;
/// Rows that one call of collect_garbage removes from one table.
inline constexpr std::size_t kMaxCollected = 1000;
/// A read of at most this many entries is answered on the loop; longer ones leave it.
inline constexpr std::size_t kMaxInlineEntries = 64;

// Search (search.h).
/// A term of the index in bytes: the beginning of a longer word stands for it.
inline constexpr std::size_t kMaxTermBytes = 64;
/// Different words of one question that are looked for.
inline constexpr std::size_t kMaxSearchTerms = 12;
/// Text of one item in the index: what comes behind is not found.
inline constexpr std::size_t kMaxSearchText = 8 << 10;
/// Sessions of one write to the index, and items.
inline constexpr std::size_t kMaxSearchUpdates = 64;
inline constexpr std::size_t kMaxSearchItems = 1024;

}  // namespace perdure::journal
