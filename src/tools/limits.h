// What this module refuses to exceed, mostly against servers of others.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::tools {

/// Tools of one server, pages of its list, and all of their names, descriptions and schemas
/// together: they stand in every request to the model.
inline constexpr std::size_t kMaxListedTools = 256;
inline constexpr int kMaxListPages = 64;
inline constexpr std::size_t kMaxToolListBytes = 1 << 20;
/// A tool's name as its server has it.
inline constexpr std::size_t kMaxServerToolName = 128;
/// One answer of a server, with all events of its stream.
inline constexpr std::size_t kMaxServerAnswerBytes = 8 << 20;
/// What a server's own error sentence may add to ours.
inline constexpr std::size_t kMaxServerErrorBytes = 600;
/// So much of a credential's begin is removed like the whole of it from what its server says.
inline constexpr std::size_t kTellingSecretBytes = 12;
/// A session id that a server hands out.
inline constexpr std::size_t kMaxServerSessionId = 4096;
/// A list, with everything that must come before it.
inline constexpr std::int64_t kListMs = 30'000;
/// A call, from its first byte to its result …
inline constexpr std::int64_t kCallMs = 600'000;
/// … and the silence in it.
inline constexpr std::int64_t kCallSilenceMs = 300'000;
/// Sessions at servers that are remembered at once.
inline constexpr std::size_t kMaxServerSessions = 1024;

}  // namespace perdure::tools
