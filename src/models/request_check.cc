#include "models/request_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/raw_json.h"

namespace perdure::models {

bool names_function(std::string_view tool_choice) {
  return !tool_choice.empty() && tool_choice != "auto" && tool_choice != "none" &&
         tool_choice != "required";
}

int cache_minutes_of(std::string_view ttl) {
  if (ttl == "12h") return 12 * 60;
  return ttl.empty() ? 0 : 30;
}

Result<void> check_request(const ModelRequest& request) {
  for (const FunctionTool& tool : request.tools) {
    if (tool.parameters.empty()) continue;
    if (auto checked = check_strict_json(tool.parameters); !checked)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The parameters of the tool '{}' are not valid JSON: {}", tool.name,
                              checked.error().message),
                  "tools");
  }
  if (!request.text_format.empty()) {
    if (auto checked = check_strict_json(request.text_format); !checked)
      return fail(ErrorCode::kInvalidArgument,
                  "The schema of the answer is not valid JSON: " + checked.error().message,
                  "text.format");
  }
  if (names_function(request.tool_choice) &&
      std::ranges::find(request.tools, request.tool_choice, &FunctionTool::name) ==
          request.tools.end())
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("The model must call the function '{}', which it is not offered.",
                            request.tool_choice),
                "tool_choice");
  return {};
}

}  // namespace perdure::models
