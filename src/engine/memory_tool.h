// The tool with which a model remembers: it searches, reads, writes and forgets records of a memory
// store (memory/memories.h).
//
// Given to a session by name (Tool::by_name_only), like the search over sessions. Where it works is
// decided by the session, never by what the model says: the store of its workstream, or "default"
// where it has none; in it the namespace /users/{actor}/ of the session's metadata "actor", or else
// "/". What is in "/" is read by all, below it by nobody else. What a model writes is an agent's
// word: a fact, never an instruction or a preference. A repeated call writes nothing twice.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "engine/session_view.h"
#include "memory/memories.h"
#include "tools/registry.h"

namespace perdure::engine {

inline constexpr std::string_view kMemoryTool = "memory";

/// The session of a call, as it is now.
using SessionOf =
    std::function<async::Task<Result<std::shared_ptr<const SessionView>>>(SessionKey)>;

/// `memories` outlives the registry.
void add_memory_tool(tools::Registry* registry, memory::Memories* memories, SessionOf session_of);

}  // namespace perdure::engine
