#include "base/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <cstring>

namespace perdure {

namespace {

/// Builds the tree as Boost's own handler does, except for on_double.
struct TreeHandler {
  using error_code = boost::system::error_code;
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  json::value_stack stack;

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) { return true; }
  bool on_object_end(std::size_t size, error_code&) { return stack.push_object(size), true; }
  bool on_array_begin(error_code&) { return true; }
  bool on_array_end(std::size_t size, error_code&) { return stack.push_array(size), true; }
  bool on_key_part(json::string_view text, std::size_t, error_code&) {
    return stack.push_chars(text), true;
  }
  bool on_key(json::string_view text, std::size_t, error_code&) {
    return stack.push_key(text), true;
  }
  bool on_string_part(json::string_view text, std::size_t, error_code&) {
    return stack.push_chars(text), true;
  }
  bool on_string(json::string_view text, std::size_t, error_code&) {
    return stack.push_string(text), true;
  }
  bool on_number_part(json::string_view, error_code&) { return true; }
  bool on_int64(std::int64_t number, json::string_view, error_code&) {
    return stack.push_int64(number), true;
  }
  bool on_uint64(std::uint64_t number, json::string_view, error_code&) {
    return stack.push_uint64(number), true;
  }
  /// `estimate` is Boost's, good enough to tell too small (zero) from too large (an error).
  bool on_double(double estimate, json::string_view text, error_code& ec) {
    double number = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) {
      if (std::abs(estimate) > 1) {
        ec = json::error::exponent_overflow;
        return false;
      }
      number = std::copysign(0.0, estimate);
    }
    return stack.push_double(number), true;
  }
  bool on_bool(bool truth, error_code&) { return stack.push_bool(truth), true; }
  bool on_null(error_code&) { return stack.push_null(), true; }
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }
};

}  // namespace

Result<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  json::basic_parser<TreeHandler> parser(options);
  parser.handler().stack.reset();
  boost::system::error_code ec;
  std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && used < text.size()) ec = json::error::extra_data;
  if (ec) return fail(ErrorCode::kInvalidArgument, "The text is not valid JSON: " + ec.message());
  return parser.handler().stack.release();
}

namespace {

bool needs_escape(unsigned char c) {
  return c < 0x20 || c == '"' || c == '\\';
}

/// The first place at or behind `at` that needs an escape, or the end. Looks at eight bytes at
/// once: nearly all text that passes through here needs none, and this is the hottest loop of a
/// turn.
std::size_t next_escape(std::string_view text, std::size_t at) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighs = 0x8080808080808080;
  // Sets the high bit of each zero byte; above the first one it may err, which costs a second look.
  auto zero_bytes = [](std::uint64_t word) { return (word - kOnes) & ~word; };
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    std::uint64_t below_space = (word - kOnes * 0x20) & ~word;
    std::uint64_t quote = zero_bytes(word ^ (kOnes * '"'));
    std::uint64_t backslash = zero_bytes(word ^ (kOnes * '\\'));
    if ((below_space | quote | backslash) & kHighs) break;
  }
  while (at < text.size() && !needs_escape(static_cast<unsigned char>(text[at]))) ++at;
  return at;
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  std::size_t begin = 0;
  for (std::size_t i = next_escape(text, 0); i < text.size(); i = next_escape(text, i + 1)) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    out.append(text, begin, i - begin);
    begin = i + 1;
    out += '\\';
    switch (c) {
      case '"':
        out += '"';
        break;
      case '\\':
        out += '\\';
        break;
      case '\n':
        out += 'n';
        break;
      case '\r':
        out += 'r';
        break;
      case '\t':
        out += 't';
        break;
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
    case json::kind::null:
      out += "null";
      return;
    case json::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      return;
    case json::kind::int64:
      out += std::to_string(value.get_int64());
      return;
    case json::kind::uint64:
      out += std::to_string(value.get_uint64());
      return;
    case json::kind::double_:
      append_double(out, value.get_double());
      return;
    case json::kind::string:
      append_quoted(out, as_view(value.get_string()));
      return;
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
