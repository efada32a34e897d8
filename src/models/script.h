// A script for the scripted model: what it answers, call by call. Format:
// docs/protocols/scripted-model.md
//
// Read once from a JSON file; immutable afterwards. Everything unknown or mistyped in the file is
// an error that names its place, because a script that is silently read otherwise than it was meant
// makes a test that tests nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "models/provider.h"

namespace perdure::models {

struct ScriptCall {
  std::string name;
  std::string arguments;  ///< JSON text, or any text where the script wants broken arguments
  std::string id;         ///< empty: made from the position
};

struct ScriptFailure {
  std::string code = "server_error";
  std::string message;
  bool retryable = false;
  std::int64_t retry_after_ms = 0;
};

struct ScriptStep {
  std::string when;        ///< text that the last input must contain; empty: any
  std::int64_t times = 1;  ///< calls that it answers; 0: any number
  std::string reasoning;
  std::vector<std::string> chunks;  ///< pieces of the message; none: no message
  bool refusal = false;
  std::vector<ScriptCall> tool_calls;
  std::int64_t delay_ms = 0;  ///< before each piece, or before the answer if there are none
  Finish finish = Finish::kStop;
  std::optional<TokenUsage> usage;  ///< none: estimated
  bool usage_unknown = false;
  // How it ends otherwise, after `after_chunks` pieces (or all, if there are fewer).
  std::optional<ScriptFailure> failure;
  bool hang = false;
  std::size_t after_chunks = 0;
};

struct Script {
  std::string model = "scripted";
  bool per_session = true;  ///< every session plays the script from its beginning
  std::vector<ScriptStep> steps;
  std::optional<ScriptStep> otherwise;  ///< when no step fits; none: the demo's answer
};

/// kInvalidArgument with the place of the mistake in `param` ("steps[2].delay_ms").
Result<Script> parse_script(std::string_view text);
/// The same from a file.
Result<Script> load_script(const std::string& path);

/// Pieces of a text as a model would stream it: each word with the space behind it.
std::vector<std::string> split_words(std::string_view text);

}  // namespace perdure::models
