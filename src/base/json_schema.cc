#include "base/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/json.h"
#include "base/raw_json.h"

namespace perdure {
namespace {

/// Schemas that one check looks at: a large answer is checked whole, and nobody waits for long.
constexpr int kMaxSteps = 500'000;
/// Schemas inside of each other, references included.
constexpr int kMaxDepth = 4 * static_cast<int>(kMaxJsonDepth);
/// Of a name or a value that a complaint repeats.
constexpr std::size_t kMaxShown = 200;

std::string_view kind_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
      return "an integer";
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "null";
}

std::string shown(const json::value& value) {
  std::string text = perdure::serialize(value);
  if (text.size() <= kMaxShown) return text;
  std::size_t end = kMaxShown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

bool is_whole(double number) {
  return std::isfinite(number) && std::floor(number) == number;
}

bool is_of_type(const json::value& value, std::string_view type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_bool();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number") return value.is_number();
  if (type == "integer")
    return value.is_int64() || value.is_uint64() ||
           (value.is_double() && is_whole(value.get_double()));
  return true;  // no type that there is
}

/// Numbers are compared by value: 1 is 1.0.
bool equal(const json::value& one, const json::value& other) {
  if (one.is_number() && other.is_number() && (one.is_double() || other.is_double()))
    return one.to_number<double>() == other.to_number<double>();
  return one == other;
}

std::size_t characters(const json::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(as_view(text), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string path_of(const std::string& path, std::string_view name) {
  bool plain =
      !name.empty() && name.size() <= kMaxShown &&
      std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  if (plain) return path + "." + std::string(name);
  return path + "[" + shown(json::value(json::string_view(name.data(), name.size()))) + "]";
}

class Check {
 public:
  explicit Check(const json::value& root) : root_(root) {}

  std::vector<std::string> complaints;

  void check(const json::value& schema, const json::value& value, const std::string& path) {
    if (full() || depth_ >= kMaxDepth || --steps_ < 0) return;
    ++depth_;
    if (schema.is_bool() && !schema.get_bool())
      complain(path, "must not be there");
    else if (schema.is_object())
      check_object(schema.get_object(), value, path);
    --depth_;
  }

 private:
  bool full() const { return complaints.size() >= kMaxSchemaComplaints; }

  void complain(const std::string& path, std::string what) {
    if (!full()) complaints.push_back(path + " " + std::move(what));
  }

  void check_object(const json::object& schema, const json::value& value, const std::string& path) {
    if (const json::value* ref = perdure::find(schema, "$ref"); ref && ref->is_string())
      if (const json::value* target = resolve(as_view(ref->get_string())))
        check(*target, value, path);
    // The rest would only say the same in other words.
    if (!has_type(schema, value, path) || !is_listed(schema, value, path)) return;
    if (value.is_object()) check_members(schema, value.get_object(), path);
    if (value.is_array()) check_elements(schema, value.get_array(), path);
    if (value.is_number()) check_number(schema, value, path);
    if (value.is_string()) check_text(schema, value.get_string(), path);
    for (const json::value& part : get_array(schema, "allOf")) check(part, value, path);
    check_alternatives(get_array(schema, "anyOf"), value, path);
    check_alternatives(get_array(schema, "oneOf"), value, path);
  }

  /// "#", or "#/…": a JSON Pointer. nullptr where it leads nowhere.
  const json::value* resolve(std::string_view ref) const {
    if (!ref.starts_with('#')) return nullptr;
    ref.remove_prefix(1);
    const json::value* at = &root_;
    while (at && ref.starts_with('/')) {
      ref.remove_prefix(1);
      std::string name;
      for (; !ref.empty() && ref.front() != '/'; ref.remove_prefix(1)) {
        bool escaped = ref.front() == '~' && ref.size() > 1 && (ref[1] == '0' || ref[1] == '1');
        name += !escaped ? ref.front() : ref[1] == '0' ? '~' : '/';
        if (escaped) ref.remove_prefix(1);
      }
      at = at->is_object() ? perdure::find(at->get_object(), name) : nullptr;
    }
    return ref.empty() ? at : nullptr;
  }

  bool has_type(const json::object& schema, const json::value& value, const std::string& path) {
    const json::value* type = perdure::find(schema, "type");
    if (!type) return true;
    std::vector<std::string_view> names;
    if (type->is_string()) names.push_back(as_view(type->get_string()));
    if (type->is_array())
      for (const json::value& name : type->get_array())
        if (name.is_string()) names.push_back(as_view(name.get_string()));
    if (names.empty() ||
        std::ranges::any_of(names, [&](std::string_view name) { return is_of_type(value, name); }))
      return true;
    complain(path, fmt::format("must be of type {}, and is {}", fmt::join(names, " or "),
                               kind_of(value)));
    return false;
  }

  bool is_listed(const json::object& schema, const json::value& value, const std::string& path) {
    const json::value* only = perdure::find(schema, "const");
    if (only && !same(*only, value)) {
      complain(path, "must be " + shown(*only));
      return false;
    }
    const json::value* choices = perdure::find(schema, "enum");
    if (!choices || !choices->is_array() || choices->get_array().empty()) return true;
    for (const json::value& choice : choices->get_array())
      if (steps_ <= 0 || same(choice, value)) return true;
    complain(path, "must be one of " + shown(*choices));
    return false;
  }

  bool same(const json::value& one, const json::value& other) {
    --steps_;
    return equal(one, other);
  }

  void check_members(const json::object& schema, const json::object& object,
                     const std::string& path) {
    for (const json::value& name : get_array(schema, "required"))
      if (name.is_string() && !object.contains(name.get_string()))
        complain(path, "lacks the member " + shown(name));
    check_count(schema, "minProperties", "maxProperties", object.size(), "members", path);
    const json::object& properties = get_object(schema, "properties");
    const json::value* others = perdure::find(schema, "additionalProperties");
    // Which of the others a pattern would cover is not known here.
    if (perdure::find(schema, "patternProperties")) others = nullptr;
    for (const auto& [key, value] : object) {
      std::string_view name{key.data(), key.size()};
      if (const json::value* property = perdure::find(properties, name))
        check(*property, value, path_of(path, name));
      else if (others && others->is_bool() && !others->get_bool())
        complain(path, "must not have the member " + shown(json::value(key)));
      else if (others)
        check(*others, value, path_of(path, name));
      if (full() || steps_ <= 0) return;
    }
  }

  void check_elements(const json::object& schema, const json::array& array,
                      const std::string& path) {
    check_count(schema, "minItems", "maxItems", array.size(), "elements", path);
    const json::value* rest = perdure::find(schema, "items");
    const json::array* first = &get_array(schema, "prefixItems");
    if (rest && rest->is_array()) {  // as older drafts write it
      first = &rest->get_array();
      rest = perdure::find(schema, "additionalItems");
    }
    for (std::size_t i = 0; i < array.size() && !full() && steps_ > 0; ++i) {
      const json::value* element = i < first->size() ? &(*first)[i] : rest;
      if (element) check(*element, array[i], fmt::format("{}[{}]", path, i));
    }
    if (get_bool(schema, "uniqueItems")) check_unique(array, path);
  }

  /// By their texts, so that it takes no longer than sorting them.
  void check_unique(const json::array& array, const std::string& path) {
    std::vector<std::string> texts;
    texts.reserve(array.size());
    for (const json::value& element : array) texts.push_back(perdure::serialize(element));
    std::ranges::sort(texts);
    if (std::ranges::adjacent_find(texts) != texts.end())
      complain(path, "must not have an element twice");
  }

  void check_number(const json::object& schema, const json::value& value, const std::string& path) {
    auto limit = [&](std::string_view key) -> std::optional<double> {
      const json::value* bound = perdure::find(schema, key);
      if (!bound || !bound->is_number()) return std::nullopt;
      return bound->to_number<double>();
    };
    const double number = value.to_number<double>();
    if (auto least = limit("minimum"); least && number < *least)
      complain(path, fmt::format("must be at least {}", *least));
    if (auto most = limit("maximum"); most && number > *most)
      complain(path, fmt::format("must be at most {}", *most));
    if (auto least = limit("exclusiveMinimum"); least && number <= *least)
      complain(path, fmt::format("must be greater than {}", *least));
    if (auto most = limit("exclusiveMaximum"); most && number >= *most)
      complain(path, fmt::format("must be less than {}", *most));
    if (auto step = limit("multipleOf"); step && *step > 0) {
      const double times = number / *step;  // 0.3 is a multiple of 0.1 for everybody but a computer
      if (std::abs(times - std::round(times)) > 1e-9 * std::max(1.0, std::abs(times)))
        complain(path, fmt::format("must be a multiple of {}", *step));
    }
  }

  void check_text(const json::object& schema, const json::string& text, const std::string& path) {
    if (perdure::find(schema, "minLength") || perdure::find(schema, "maxLength"))
      check_count(schema, "minLength", "maxLength", characters(text), "characters", path);
  }

  void check_count(const json::object& schema, std::string_view least_key,
                   std::string_view most_key, std::size_t count, std::string_view what,
                   const std::string& path) {
    const auto size = static_cast<std::int64_t>(count);
    if (std::int64_t least = get_int(schema, least_key); size < least)
      complain(path, fmt::format("must have at least {} {}, and has {}", least, what, size));
    const json::value* most = perdure::find(schema, most_key);
    if (most && most->is_int64() && size > most->get_int64())
      complain(path,
               fmt::format("must have at most {} {}, and has {}", most->get_int64(), what, size));
  }

  /// At least one of them, if there are any.
  void check_alternatives(const json::array& alternatives, const json::value& value,
                          const std::string& path) {
    if (alternatives.empty() || full()) return;
    std::vector<std::string> before = std::exchange(complaints, {});
    std::vector<std::string> first;
    bool satisfied = false;
    for (const json::value& alternative : alternatives) {
      complaints.clear();
      check(alternative, value, path);
      satisfied = complaints.empty();
      if (satisfied) break;
      if (first.empty()) first = complaints;
    }
    complaints = std::move(before);
    if (satisfied) return;
    complain(path, fmt::format("is none of the {} alternatives; for the first, {}",
                               alternatives.size(), first.front()));
  }

  const json::value& root_;
  int depth_ = 0;
  int steps_ = kMaxSteps;
};

}  // namespace

std::vector<std::string> schema_complaints(std::string_view schema, std::string_view text,
                                           std::string_view root) {
  if (auto strict = check_strict_json(text); !strict)
    return {fmt::format("{} must be JSON and nothing else: {}", root, strict.error().message)};
  auto value = parse_json(text);
  if (!value) return {fmt::format("{} must be JSON: {}", root, value.error().message)};
  auto wanted = parse_json(schema);
  if (!wanted) return {};
  Check check(*wanted);
  check.check(*wanted, *value, std::string(root));
  return std::move(check.complaints);
}

}  // namespace perdure
