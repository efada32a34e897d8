#include "facades/common/json_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/json.h"
#include "facades/common/json_writer.h"

namespace perdure::facades {
namespace {

/// What a message shows of a caller's text.
constexpr std::size_t kMaxShown = 64;

std::string_view shown(std::string_view text) {
  if (text.size() <= kMaxShown) return text;
  std::size_t end = 0;
  while (end < kMaxShown) {
    std::size_t length = std::max<std::size_t>(1, utf8_sequence_length(text.substr(end)));
    if (end + length > kMaxShown) break;
    end += length;
  }
  return text.substr(0, end);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::string_view name_of(JsonKind kind) {
  switch (kind) {
    case JsonKind::kNull:
      return "null";
    case JsonKind::kBoolean:
      return "a boolean";
    case JsonKind::kInteger:
      return "an integer";
    case JsonKind::kDecimal:
      return "a decimal number";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kArray:
      return "an array";
    case JsonKind::kObject:
      return "an object";
  }
  return "something else";
}

/// 'a', 'b', and 'c'
std::string list_of(std::initializer_list<std::string_view> choices) {
  std::string out;
  std::size_t index = 0;
  for (std::string_view choice : choices) {
    if (index > 0) out += choices.size() == 2 ? " " : ", ";
    if (index > 0 && index + 1 == choices.size()) out += "and ";
    out += fmt::format("'{}'", choice);
    ++index;
  }
  return out;
}

std::unexpected<Error> invalid(std::string path, std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message), std::move(path));
}

}  // namespace

JsonKind JsonField::kind() const {
  switch (raw.empty() ? 'n' : raw.front()) {
    case 'n':
      return JsonKind::kNull;
    case 't':
    case 'f':
      return JsonKind::kBoolean;
    case '"':
      return JsonKind::kString;
    case '[':
      return JsonKind::kArray;
    case '{':
      return JsonKind::kObject;
    default:
      return raw.find_first_of(".eE") == std::string_view::npos ? JsonKind::kInteger
                                                                : JsonKind::kDecimal;
  }
}

Result<JsonObject> JsonObject::read(const JsonField& field) {
  if (field.kind() != JsonKind::kObject) return wrong_type(field, "an object");
  JsonObject object;
  object.path_ = field.path;
  RawObjectReader reader(field.raw);
  while (auto member = reader.next()) object.members_.push_back(std::move(*member));
  return object;
}

Result<void> JsonObject::allow(std::initializer_list<std::string_view> known) const {
  for (const RawMember& member : members_) {
    if (std::ranges::find(known, std::string_view(member.key)) != known.end()) continue;
    std::string path = path_of(shown(member.key));
    std::string message = fmt::format("Unknown parameter: '{}'.", path);
    return invalid(std::move(path), std::move(message));
  }
  return {};
}

std::optional<JsonField> JsonObject::find(std::string_view key) const {
  for (const RawMember& member : members_)
    if (member.key == key) return JsonField{trimmed(member.value), path_of(key)};
  return std::nullopt;
}

std::optional<JsonField> JsonObject::find_value(std::string_view key) const {
  auto field = find(key);
  if (field && field->is_null()) field.reset();
  return field;
}

Result<JsonField> JsonObject::require(std::string_view key) const {
  auto field = find(key);
  if (!field) return missing_parameter(path_of(key));
  return *std::move(field);
}

std::string JsonObject::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

Result<std::string> read_string(const JsonField& field) {
  if (field.kind() != JsonKind::kString) return wrong_type(field, "a string");
  return decode_json_string(field.raw);
}

Result<std::string> read_text(const JsonField& field) {
  TRY(text, read_string(field));
  if (text.empty())
    return invalid(field.path,
                   fmt::format("Invalid '{}': empty string. Expected a string with minimum length "
                               "1, but got an empty string instead.",
                               field.path));
  return text;
}

Result<bool> read_boolean(const JsonField& field) {
  if (field.kind() != JsonKind::kBoolean) return wrong_type(field, "a boolean");
  return field.raw == "true";
}

Result<std::int64_t> read_integer(const JsonField& field, std::int64_t minimum) {
  if (field.kind() != JsonKind::kInteger) return wrong_type(field, "an integer");
  std::int64_t value = 0;
  auto [end, ec] = std::from_chars(field.raw.data(), field.raw.data() + field.raw.size(), value);
  if (ec != std::errc() || end != field.raw.data() + field.raw.size())
    return invalid(field.path, fmt::format("Invalid '{}': integer out of range.", field.path));
  if (value < minimum)
    return invalid(field.path, fmt::format("Invalid '{}': integer below minimum value. Expected a "
                                           "value >= {}, but got {} instead.",
                                           field.path, minimum, value));
  return value;
}

Result<std::vector<JsonField>> read_array(const JsonField& field) {
  if (field.kind() != JsonKind::kArray) return wrong_type(field, "an array");
  std::vector<JsonField> out;
  RawArrayReader reader(field.raw);
  while (auto element = reader.next())
    out.push_back({trimmed(*element), fmt::format("{}[{}]", field.path, out.size())});
  return out;
}

Result<std::string> read_choice(const JsonField& field,
                                std::initializer_list<std::string_view> choices) {
  TRY(value, read_string(field));
  if (std::ranges::find(choices, std::string_view(value)) == choices.end())
    return not_a_choice(field.path, value, choices);
  return value;
}

std::unexpected<Error> missing_parameter(std::string path) {
  std::string message = fmt::format("Missing required parameter: '{}'.", path);
  return invalid(std::move(path), std::move(message));
}

std::unexpected<Error> wrong_type(const JsonField& field, std::string_view expected) {
  std::string where = field.path.empty() ? "the request body" : fmt::format("'{}'", field.path);
  return invalid(field.path, fmt::format("Invalid type for {}: expected {}, but got {} instead.",
                                         where, expected, name_of(field.kind())));
}

std::unexpected<Error> not_a_choice(std::string path, std::string_view value,
                                    std::initializer_list<std::string_view> choices) {
  return invalid(std::move(path), fmt::format("Invalid value: '{}'. Supported values are: {}.",
                                              shown(value), list_of(choices)));
}

std::unexpected<Error> not_supported(std::string path, std::string_view what) {
  return fail(ErrorCode::kUnimplemented, fmt::format("{} is not supported yet.", what),
              std::move(path));
}

std::size_t character_count(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

namespace {

void append_canonical(std::string& out, std::string_view raw) {
  JsonField field{trimmed(raw), {}};
  switch (field.kind()) {
    case JsonKind::kString:
      append_quoted(out, decode_json_string(field.raw));
      return;
    case JsonKind::kArray: {
      std::vector<std::string_view> elements;
      for_each_raw_element(field.raw, [&](std::string_view e) { elements.push_back(e); });
      append_array(out, elements, append_canonical);
      return;
    }
    case JsonKind::kObject: {
      std::vector<RawMember> members;
      RawObjectReader reader(field.raw);
      while (auto member = reader.next()) members.push_back(std::move(*member));
      std::ranges::sort(members, {}, &RawMember::key);
      ObjectWriter object(out);
      for (const RawMember& member : members)
        append_canonical(object.begin(member.key), member.value);
      object.end();
      return;
    }
    default:
      out += field.raw;
  }
}

}  // namespace

std::string canonical_json(std::string_view text) {
  std::string out;
  append_canonical(out, text);
  return out;
}

}  // namespace perdure::facades
