// Builds the body of a `/chat/completions` request.
//
// A pure function, so that equal conversations give equal bytes and prompt caches hit: instructions
// first, then the context in order, with every run of output items as one assistant message and
// each tool result straight after the message that asked for it.
//
// What differs between OpenAI and the others (vLLM, llama-server, Ollama), by `ChatDialect`:
//  - max_completion_tokens for OpenAI; max_tokens for the others, Ollama knows no other name;
//  - prompt_cache_key and verbosity for OpenAI only;
//  - parallel_tool_calls (with tools): OpenAI is told only `false`, as true is its default and its
//    o-series models refuse the member; the others are always told: llama-server's default is
//    false, vLLM reads it, Ollama ignores it;
//  - a forced function: OpenAI gets the tool_choice that names it. To the others that tool alone is
//    offered, with tool_choice "required" and no parallel calls, because llama-server silently
//    takes the object form for "auto".
// Reasoning goes back only under the member that the operator names (DeepSeek and Kimi want
// "reasoning_content" while tools are called, gpt-oss under vLLM takes "reasoning"): no name is
// right everywhere, and some servers refuse the wrong one. Only reasoning that came over this
// protocol does.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "models/provider.h"

namespace perdure::models {

/// OutputItem::raw_provider of items of this protocol, and the kind of its provider.
inline constexpr std::string_view kOpenAiChat = "openai-chat";

enum class ChatDialect { kOpenAi, kCompatible };

/// kInvalidArgument where the request cannot be said: a forced function that is not among the
/// tools, or a schema that is not JSON.
/// `reasoning_member`: of an assistant message, under which its reasoning goes back; empty: it does
/// not.
Result<std::string> chat_request_body(const ModelRequest& request, ChatDialect dialect,
                                      std::string_view reasoning_member = {});

}  // namespace perdure::models
