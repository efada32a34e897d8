// The stated limits of the PostgreSQL store.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::journal::postgres {

/// The oldest server this store is tested with, as libpq counts.
inline constexpr int kOldestServer = 150000;
/// Connections for reading; the writer has one more.
inline constexpr std::size_t kReaders = 3;
/// Of them, how many may be busy with lists at the same time.
inline constexpr std::size_t kListReaders = 2;
/// The server ends a statement that takes longer …
inline constexpr std::int64_t kStatementMs = 20'000;
/// … and we give a connection up whose answer takes longer than this.
inline constexpr std::int64_t kAnswerMs = 30'000;
/// Connecting to one address, in seconds, unless the URL says otherwise.
inline constexpr int kConnectSeconds = 5;
/// Pauses between attempts to connect: the first, and where doubling ends.
inline constexpr std::int64_t kFirstPauseMs = 50;
inline constexpr std::int64_t kLongestPauseMs = 2'000;
/// Writes wait this long for a database that is away; then they are refused until it is back.
inline constexpr std::int64_t kPatienceMs = 5'000;
/// When the store closes, how long it still asks what became of a commit.
inline constexpr std::int64_t kLastPatienceMs = 3'000;
/// Attempts at one group whose connection broke without its commit.
inline constexpr int kAttempts = 3;
/// A renewal that takes longer is given up and tried again: a lease has time for two.
inline constexpr std::int64_t kRenewalMs = 1'200;
/// A node stops trusting its lease this much earlier than others may take it: clocks of two
/// machines do not run equally fast, and what it looks at takes a moment to leave.
inline constexpr std::int64_t kLeaseMarginMs = 200;
/// Rows of `opening` that are kept.
inline constexpr int kOpeningsKept = 1000;

}  // namespace perdure::journal::postgres
