// The names that Anthropic's Messages API accepts for what a conversation names otherwise.
//
// The API takes a narrow alphabet for tools and tool calls, [a-zA-Z0-9_-], while clients and other
// providers name them as they like ("files.read", "functions.read:0"). A name that it accepts is
// sent as it is; any other is replaced by one that is made of it, the same every time, so that
// equal conversations stay equal bytes. Pure functions of their arguments, for any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "models/provider.h"

namespace perdure::models {

/// The longest name of a tool that the API accepts.
inline constexpr std::size_t kMaxAnthropicToolName = 128;

/// What the API is told instead of a tool's name.
std::string anthropic_tool_name(std::string_view name);

/// What it is told instead of a call's id. Two calls of a conversation may have one id, because ids
/// are unique within an answer only: `earlier` counts the calls before this one that have it.
std::string anthropic_call_id(std::string_view id, std::size_t earlier);

/// The way back, for the tools of one request.
class AnthropicToolNames {
 public:
  AnthropicToolNames() = default;
  explicit AnthropicToolNames(const std::vector<FunctionTool>& tools);
  /// The tool that the model means. A name that was not offered is itself.
  std::string original(std::string_view sent) const;

 private:
  struct Renamed {
    std::string sent;
    std::string name;
  };
  std::vector<Renamed> renamed_;  ///< only those whose name differs
};

/// How a model is asked to think.
enum class AnthropicThinking {
  kAdaptive,  ///< it decides itself, guided by an effort
  kBudget,    ///< it gets a number of tokens: Claude before 4.6
};

/// Told by the model's name, because the API refuses the other's words:
/// "claude-sonnet-4-5-20250929" is of 4.5. A name without a version is taken for a current model.
AnthropicThinking anthropic_thinking(std::string_view model);

}  // namespace perdure::models
