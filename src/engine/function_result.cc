#include "engine/function_result.h"

#include <fmt/format.h>

#include "base/json.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

bool continues_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

/// Calls `on_part` with each content part of an output that has them.
template <class OnPart>
void for_each_part(const json::value& output, OnPart on_part) {
  if (!output.is_array()) return;
  for (const json::value& part : output.get_array())
    if (part.is_object()) on_part(part.get_object());
}

bool is_image(const json::object& part) {
  return get_string(part, "type") == "input_image";
}

}  // namespace

std::string text_of_result(bool success, const std::optional<std::string>& output,
                           const std::optional<std::string>& error) {
  if (!success)
    return fit_result("Error: " + error.value_or("the function failed without saying why"));
  if (!output) return "";
  auto value = parse_json(*output);
  if (!value) return fit_result(*output);
  if (value->is_string()) return fit_result(std::string(as_view(value->get_string())));
  std::string text;
  for_each_part(*value, [&](const json::object& part) {
    if (!text.empty()) text += '\n';
    text += is_image(part) ? "[an image, shown below]" : get_string(part, "text");
  });
  return fit_result(std::move(text));
}

std::vector<std::string> images_of_result(const std::optional<std::string>& output) {
  std::vector<std::string> images;
  if (!output || output->find("input_image") == std::string::npos) return images;
  auto value = parse_json(*output);
  if (!value) return images;
  for_each_part(*value, [&](const json::object& part) {
    if (is_image(part)) images.emplace_back(get_string(part, "image_url"));
  });
  return images;
}

std::string fit_result(std::string text) {
  if (text.size() <= kMaxResultBytes) return text;
  std::size_t head = kMaxResultBytes / 4 * 3, tail = text.size() - kMaxResultBytes / 4;
  while (head > 0 && continues_character(text[head])) --head;
  while (tail < text.size() && continues_character(text[tail])) ++tail;
  return fmt::format("{}\n[Here {} of the {} bytes of this result are left out.]\n{}",
                     std::string_view(text).substr(0, head), tail - head, text.size(),
                     std::string_view(text).substr(tail));
}

}  // namespace perdure::engine
