// What this module refuses to exceed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::models {

/// A provider's error body: more is cut off before it is read for its meaning.
inline constexpr std::size_t kMaxErrorBodyBytes = 64 << 10;
/// The part of a provider's own error sentence that is shown to a person.
inline constexpr std::size_t kMaxErrorMessageBytes = 600;
/// One server-sent event, which may carry a whole response with encrypted reasoning.
inline constexpr std::size_t kMaxEventBytes = 16 << 20;
/// All events of one response together.
inline constexpr std::size_t kMaxResponseBytes = 64 << 20;
/// How long a body may go on after its last event before its connection is given up.
inline constexpr std::int64_t kEndOfBodyMs = 50;
/// Items of one response: text, reasoning and function calls.
inline constexpr std::size_t kMaxOutputItems = 256;
/// What Anthropic's models may write at most where nobody said: its API wants a number, every
/// Claude since 4 accepts this one, and thinking counts towards it.
inline constexpr std::int64_t kDefaultAnthropicMaxTokens = 32'000;
/// The least that a model with a thinking budget can be given to think, and is left to answer.
inline constexpr std::int64_t kMinAnthropicThinkingBudget = 1'024;
/// A count of tokens beyond this is taken as this.
inline constexpr std::int64_t kMaxToldTokens = 1'000'000'000'000;
/// A Retry-After beyond this is taken as this.
inline constexpr std::int64_t kMaxRetryAfterMs = 24LL * 3600 * 1000;

/// Half of at least so many calls of a minute must fail, or so many in a row time out, before a
/// pool is left alone for the cooldown, which doubles with each probe that fails.
inline constexpr std::int64_t kBreakerCalls = 10;
inline constexpr std::int64_t kBreakerPercent = 50;
inline constexpr int kBreakerTimeouts = 5;
inline constexpr std::int64_t kFirstCooldownMs = 5'000;
inline constexpr std::int64_t kLongestCooldownMs = 60'000;
/// Calls restarted after a crash that a pool takes at once, until answers show that it bears more.
inline constexpr int kRestartedAtOnce = 8;
/// The pause of a pool that was told it asks too often, where it was not told for how long.
inline constexpr std::int64_t kRateLimitPauseMs = 500;
/// A call waits in its pool's queue for a pause up to this; a longer one is waited for durably.
inline constexpr std::int64_t kLongestQueuedPauseMs = 60'000;
/// What a call is expected to answer, for tokens a minute, until it has answered.
inline constexpr std::int64_t kExpectedOutputTokens = 1'000;
/// Bound of the pause before a model call is tried again, doubled each time; the pause is anything
/// up to it.
inline constexpr std::int64_t kFirstRetryMs = 1'000;
inline constexpr std::int64_t kLongestRetryMs = 30'000;
/// How long a turn waits before it looks for a pool again, where nothing says how long.
inline constexpr std::int64_t kLookAgainMs = 5'000;

/// The answer to a detection probe, and how long a probe may take.
inline constexpr std::size_t kMaxProbeBytes = 1 << 20;
inline constexpr std::int64_t kProbeMs = 500;
/// Models that are taken from a probe's list.
inline constexpr std::size_t kMaxProbeModels = 200;

/// A scripted model's file, and the sessions whose place in the script is remembered at once.
inline constexpr std::size_t kMaxScriptBytes = 4 << 20;
inline constexpr std::size_t kMaxScriptSessions = 100'000;

}  // namespace perdure::models
