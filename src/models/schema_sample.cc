#include "models/schema_sample.h"

#include <algorithm>
#include <cmath>

#include "base/json.h"

namespace perdure::models {
namespace {

constexpr int kMaxDepth = 16;
constexpr std::int64_t kMaxElements = 16;

class Sample {
 public:
  Sample(const json::value& root, std::string_view text) : root_(root), text_(text) {}

  json::value of(const json::value& schema, int depth = 0) const {
    if (!schema.is_object() || depth > kMaxDepth) return said();
    const json::object& object = schema.get_object();
    if (const json::value* only = find(object, "const")) return *only;
    if (const json::array& choices = get_array(object, "enum"); !choices.empty())
      return choices.front();
    if (std::string_view ref = get_string(object, "$ref"); ref.starts_with('#')) {
      json::error_code none;
      ref.remove_prefix(1);
      if (const json::value* target =
              root_.find_pointer(json::string_view(ref.data(), ref.size()), none))
        return of(*target, depth + 1);
    }
    for (std::string_view key : {"anyOf", "oneOf", "allOf"})
      if (const json::array& parts = get_array(object, key); !parts.empty())
        return of(parts.front(), depth + 1);
    const std::string_view type = type_of(object);
    if (type == "object") return object_of(object, depth);
    if (type == "array") return array_of(object, depth);
    if (type == "integer" || type == "number") return number_of(object);
    if (type == "boolean") return false;
    if (type == "null") return nullptr;
    return text_of(object);
  }

 private:
  json::value said() const { return json::string(json::string_view(text_.data(), text_.size())); }

  static std::string_view type_of(const json::object& schema) {
    if (const json::array& types = get_array(schema, "type"); !types.empty())
      return types.front().is_string() ? as_view(types.front().get_string()) : std::string_view();
    if (find(schema, "type")) return get_string(schema, "type");
    return find(schema, "properties") ? "object" : "";
  }

  json::value object_of(const json::object& schema, int depth) const {
    json::object sample;
    const json::object& properties = get_object(schema, "properties");
    for (const json::value& name : get_array(schema, "required")) {
      if (!name.is_string()) continue;
      const json::value* property = find(properties, as_view(name.get_string()));
      sample[name.get_string()] = property ? of(*property, depth + 1) : said();
    }
    return sample;
  }

  json::value array_of(const json::object& schema, int depth) const {
    json::array sample;
    const json::value* element = find(schema, "items");
    const std::int64_t count = std::min(get_int(schema, "minItems"), kMaxElements);
    for (std::int64_t i = 0; i < count; ++i)
      sample.push_back(element ? of(*element, depth + 1) : said());
    return sample;
  }

  static json::value number_of(const json::object& schema) {
    for (std::string_view key : {"minimum", "maximum"})
      if (const json::value* bound = find(schema, key); bound && bound->is_number()) return *bound;
    if (const json::value* bound = find(schema, "exclusiveMinimum"); bound && bound->is_number())
      return static_cast<std::int64_t>(std::floor(bound->to_number<double>())) + 1;
    return 0;
  }

  json::value text_of(const json::object& schema) const {
    const std::int64_t most = get_int(schema, "maxLength", -1);
    if (most < 0 || static_cast<std::size_t>(most) >= text_.size()) return said();
    std::string plain;  // so that bytes are characters
    for (char c : text_)
      if (static_cast<unsigned char>(c) < 0x80 && plain.size() < static_cast<std::size_t>(most))
        plain += c;
    return json::string(json::string_view(plain.data(), plain.size()));
  }

  const json::value& root_;
  std::string_view text_;
};

}  // namespace

std::string schema_sample(std::string_view schema, std::string_view text) {
  auto root = parse_json(schema);
  if (!root) return "{}";
  return perdure::serialize(Sample(*root, text).of(*root));
}

}  // namespace perdure::models
