// Deferred functions: what the model is offered of them, and the search that finds them.
//
// A function with `deferred` is not sent to the model until its search has found it; from the next
// model call on its definition stands at the end of the tool list, in the order of finding, so that
// what a provider has cached of the beginning stays good. The model searches by calling a function,
// kToolSearch, that the server answers itself, in the batch that journals the model's answer: it is
// no effect, has no item, and its outcome (kToolsFound) is journaled. Where the agent has no
// tool_search nothing is deferred. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/entry_bodies.h"
#include "engine/function_search.h"
#include "models/provider.h"

namespace perdure::engine {

/// Whether the model is offered the search: it is asked for, and there is something to find.
bool offers_tool_search(const AgentConfig& agent);
/// The beginning of the tool list: every function that is not deferred, the tools of this server
/// that the session was given, and the search.
std::vector<models::FunctionTool> listed_functions(const AgentConfig& agent);
/// Its end: of the functions found so far those that the agent still defers.
std::vector<models::FunctionTool> loaded_functions(const AgentConfig& agent,
                                                   const std::vector<std::string>& found);

FunctionIndex index_of_deferred(const AgentConfig& agent);
/// Answers a call of kToolSearch; `turn` and `call_id` are left to the caller. Arguments that make
/// no sense are answered with what is wrong.
ToolsFoundBody search_tools(const AgentConfig& agent, const FunctionIndex& index,
                            std::string_view arguments);

/// Forgets of what is loaded what `agent` does not defer (any more): it must be found anew.
void forget_lost(std::vector<std::string>& loaded, const AgentConfig& agent);

/// Adds what was found to what is loaded, once each; gives those that are new.
std::vector<std::string> add_found(std::vector<std::string>& loaded,
                                   const std::vector<std::string>& found);

std::int64_t tokens_of(const std::vector<models::FunctionTool>& tools);

}  // namespace perdure::engine
