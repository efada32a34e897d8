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

/// The answer to a detection probe, and how long a probe may take.
inline constexpr std::size_t kMaxProbeBytes = 1 << 20;
inline constexpr std::int64_t kProbeMs = 500;
/// Models that are taken from a probe's list.
inline constexpr std::size_t kMaxProbeModels = 200;

/// A scripted model's file, and the sessions whose place in the script is remembered at once.
inline constexpr std::size_t kMaxScriptBytes = 4 << 20;
inline constexpr std::size_t kMaxScriptSessions = 100'000;

}  // namespace perdure::models
