// Builds the body of a `/chat/completions` request.
//
// A pure function, so that equal conversations give equal bytes and prompt caches hit: instructions
// first, then the context in order, with every run of output items as one assistant message and
// each tool result straight after the message that asked for it.
//
// What differs between servers (`ChatDialect`):
//   member                 OpenAI                          others (vLLM, llama-server, Ollama)
//   max tokens             max_completion_tokens           max_tokens (Ollama knows no other)
//   prompt_cache_key       sent                            left out
//   verbosity              sent                            left out
//   parallel_tool_calls    only false: true is the         always, with tools: llama-server's
//   default
//                          default, and o-series models    is false, vLLM reads it, Ollama ignores
//                          it refuse the member
//   forced function        tool_choice names it            that tool alone is offered and
//   tool_choice
//                                                          is "required": llama-server silently
//                                                          takes the object form for "auto"
// Reasoning items are not sent: the protocol has no place for them that more than one server
// accepts.
#pragma once

#include <string>

#include "base/error.h"
#include "models/provider.h"

namespace perdure::models {

enum class ChatDialect { kOpenAi, kCompatible };

/// kInvalidArgument where the request cannot be said: a forced function that is not among the
/// tools, or a schema that is not JSON.
Result<std::string> chat_request_body(const ModelRequest& request, ChatDialect dialect);

}  // namespace perdure::models
