#include "engine/function_result.h"

#include "base/json.h"

namespace perdure::engine {

std::string text_of_result(bool success, const std::optional<std::string>& output,
                           const std::optional<std::string>& error) {
  if (!success) return "Error: " + error.value_or("the function failed without saying why");
  if (!output) return "";
  auto value = parse_json(*output);
  if (!value) return *output;
  if (value->is_string()) return std::string(as_view(value->get_string()));
  std::string text;
  if (value->is_array())
    for (const json::value& part : value->get_array())
      if (part.is_object()) {
        if (!text.empty()) text += '\n';
        text += get_string(part.get_object(), "text");
      }
  return text;
}

}  // namespace perdure::engine
