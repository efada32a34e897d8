#include "base/json.h"

#include <charconv>
#include <cmath>

namespace perdure {

Result<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  boost::system::error_code ec;
  json::value value = json::parse({text.data(), text.size()}, ec, {}, options);
  if (ec) return fail(ErrorCode::kInvalidArgument, "The text is not valid JSON: " + ec.message());
  return value;
}

void append_quoted(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, begin, i - begin);
    begin = i + 1;
    out += '\\';
    switch (c) {
      case '"': out += '"'; break;
      case '\\': out += '\\'; break;
      case '\n': out += 'n'; break;
      case '\r': out += 'r'; break;
      case '\t': out += 't'; break;
      default:
        out += "u00";
        out += kDigits[c >> 4];
        out += kDigits[c & 15];
    }
  }
  out.append(text, begin);
  out += '"';
}

namespace {

void append_double(std::string& out, double number) {
  char buffer[32];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  out += text;
  // A double stays a double when it is read back.
  if (text.find_first_of(".en") == std::string_view::npos) out += ".0";
}

}  // namespace

void serialize_to(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: out += "null"; return;
    case json::kind::bool_: out += value.get_bool() ? "true" : "false"; return;
    case json::kind::int64: out += std::to_string(value.get_int64()); return;
    case json::kind::uint64: out += std::to_string(value.get_uint64()); return;
    case json::kind::double_: append_double(out, value.get_double()); return;
    case json::kind::string: append_quoted(out, as_view(value.get_string())); return;
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const json::value& element : value.get_array()) {
        if (!std::exchange(first, false)) out += ',';
        serialize_to(out, element);
      }
      out += ']';
      return;
    }
    case json::kind::object: {
      out += '{';
      bool first = true;
      for (const auto& [key, member] : value.get_object()) {
        if (!std::exchange(first, false)) out += ',';
        append_quoted(out, {key.data(), key.size()});
        out += ':';
        serialize_to(out, member);
      }
      out += '}';
      return;
    }
  }
}

std::string serialize(const json::value& value) {
  std::string out;
  serialize_to(out, value);
  return out;
}

const json::value* find(const json::object& object, std::string_view key) {
  return object.if_contains({key.data(), key.size()});
}

std::string_view get_string(const json::object& object, std::string_view key,
                            std::string_view fallback) {
  const json::value* member = find(object, key);
  return member && member->is_string() ? as_view(member->get_string()) : fallback;
}

std::int64_t get_int(const json::object& object, std::string_view key, std::int64_t fallback) {
  const json::value* member = find(object, key);
  if (!member) return fallback;
  if (member->is_int64()) return member->get_int64();
  if (member->is_uint64()) return static_cast<std::int64_t>(member->get_uint64());
  return fallback;
}

bool get_bool(const json::object& object, std::string_view key, bool fallback) {
  const json::value* member = find(object, key);
  return member && member->is_bool() ? member->get_bool() : fallback;
}

const json::object& get_object(const json::object& object, std::string_view key) {
  static const json::object kEmpty;
  const json::value* member = find(object, key);
  return member && member->is_object() ? member->get_object() : kEmpty;
}

const json::array& get_array(const json::object& object, std::string_view key) {
  static const json::array kEmpty;
  const json::value* member = find(object, key);
  return member && member->is_array() ? member->get_array() : kEmpty;
}

}  // namespace perdure
