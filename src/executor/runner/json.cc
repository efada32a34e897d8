#include "executor/runner/json.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "executor/runner/limits.h"

namespace perdure::executor::runner {
namespace {

/// Bytes of the well-formed UTF-8 sequence at the begin of `text`; 0 if there is none.
std::size_t sequence_length(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  unsigned second = byte(1);
  bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  bool outside = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return overlong || outside ? 0 : length;
}

void append_code_point(std::string& out, unsigned code) {
  auto put = [&](unsigned byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  std::optional<Json> read(std::string* error) {
    Json value;
    skip_space();
    bool good = read_value(value, 0);
    skip_space();
    if (good && at_ != text_.size()) good = complain("there is more than one value");
    if (good) return value;
    *error = problem_ + " at byte " + std::to_string(at_);
    return std::nullopt;
  }

 private:
  bool complain(const char* what) {
    if (problem_.empty()) problem_ = what;
    return false;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").contains(text_[at_])) ++at_;
  }
  bool take_word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return complain("no value");
    at_ += word.size();
    return true;
  }

  bool read_value(Json& out, int depth) {
    if (depth > kMaxJsonDepth) return complain("nested too deeply");
    switch (peek()) {
      case '{':
        return read_object(out, depth);
      case '[':
        return read_array(out, depth);
      case '"':
        out.kind_ = Json::Kind::kString;
        return read_string(out.text_);
      case 't':
        out.kind_ = Json::Kind::kBool;
        out.flag_ = true;
        return take_word("true");
      case 'f':
        out.kind_ = Json::Kind::kBool;
        return take_word("false");
      case 'n':
        return take_word("null");
      default:
        out.kind_ = Json::Kind::kNumber;
        return read_number(out.text_);
    }
  }

  bool read_object(Json& out, int depth) {
    out.kind_ = Json::Kind::kObject;
    ++at_;
    skip_space();
    if (take('}')) return true;
    do {
      skip_space();
      std::string key;
      if (peek() != '"') return complain("a key is missing");
      if (!read_string(key)) return false;
      if (std::ranges::any_of(out.members_, [&](auto& member) { return member.first == key; }))
        return complain("a key stands twice");
      skip_space();
      if (!take(':')) return complain("':' is missing");
      skip_space();
      out.members_.emplace_back(std::move(key), Json());
      if (!read_value(out.members_.back().second, depth + 1)) return false;
      skip_space();
    } while (take(','));
    return take('}') || complain("'}' is missing");
  }

  bool read_array(Json& out, int depth) {
    out.kind_ = Json::Kind::kArray;
    ++at_;
    skip_space();
    if (take(']')) return true;
    do {
      skip_space();
      out.items_.emplace_back();
      if (!read_value(out.items_.back(), depth + 1)) return false;
      skip_space();
    } while (take(','));
    return take(']') || complain("']' is missing");
  }

  bool read_number(std::string& out) {
    std::size_t start = at_;
    take('-');
    if (take('0')) {
      if (is_digit(peek())) return complain("a number begins with 0");
    } else if (!take_digits()) {
      return complain("no value");
    }
    if (take('.') && !take_digits()) return complain("a number ends too early");
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      std::size_t digits = at_;
      if (!take_digits()) return complain("a number ends too early");
      if (at_ - digits > kMaxExponentDigits) return complain("a number's exponent is too long");
    }
    if (at_ - start > kMaxNumberBytes) return complain("a number is too long");
    out = text_.substr(start, at_ - start);
    return true;
  }
  bool take_digits() {
    std::size_t start = at_;
    while (is_digit(peek())) ++at_;
    return at_ > start;
  }

  bool read_string(std::string& out) {
    ++at_;
    while (at_ < text_.size()) {
      // Runs of plain characters, such as base64, are what most text is made of.
      std::size_t start = at_;
      while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
             static_cast<unsigned char>(text_[at_]) >= 0x20 &&
             static_cast<unsigned char>(text_[at_]) < 0x80)
        ++at_;
      out.append(text_, start, at_ - start);
      if (at_ == text_.size()) break;
      char c = text_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return complain("a control character in a string");
      if (c == '\\') {
        if (!read_escape(out)) return false;
        continue;
      }
      std::size_t length = sequence_length(text_.substr(at_));
      if (length == 0) return complain("no valid UTF-8");
      out.append(text_, at_, length);
      at_ += length;
    }
    return complain("a string has no end");
  }

  bool read_escape(std::string& out) {
    ++at_;
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    char name = peek();
    if (std::size_t i = kNames.find(name); i != kNames.npos && name != '\0') {
      ++at_;
      out += kMeanings[i];
      return true;
    }
    unsigned code = 0;
    if (!read_unit(code)) return complain("an escape that is none");
    if (code >= 0xDC00 && code < 0xE000) return complain("half a surrogate pair");
    if (code >= 0xD800 && code < 0xDC00) {
      unsigned low = 0;
      if (!take('\\') || !read_unit(low) || low < 0xDC00 || low >= 0xE000)
        return complain("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_code_point(out, code);
    return true;
  }
  bool read_unit(unsigned& code) {
    if (!take('u') || text_.size() - at_ < 4) return false;
    const char* begin = text_.data() + at_;
    auto [end, error] = std::from_chars(begin, begin + 4, code, 16);
    if (error != std::errc() || end != begin + 4) return false;
    at_ += 4;
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string problem_;
};

std::optional<Json> Json::parse(std::string_view text, std::string* error) {
  return JsonReader(text).read(error);
}

const Json* Json::find(std::string_view key) const {
  for (const auto& [name, value] : members_) {
    if (name == key) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

std::optional<bool> Json::as_bool() const {
  if (kind_ != Kind::kBool) return std::nullopt;
  return flag_;
}

std::optional<std::int64_t> Json::as_count() const {
  std::int64_t value = 0;
  const char* end = text_.data() + text_.size();
  if (kind_ != Kind::kNumber) return std::nullopt;
  auto [stopped, error] = std::from_chars(text_.data(), end, value);
  if (error != std::errc() || stopped != end || value < 0) return std::nullopt;
  return value;
}

std::optional<std::string_view> Json::as_string() const {
  if (kind_ != Kind::kString) return std::nullopt;
  return text_;
}

std::string Json::as_id() const {
  return kind_ == Kind::kString ? quoted(text_) : kind_ == Kind::kNumber ? text_ : "null";
}

void append_quoted(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    unsigned char c = text[0];
    std::size_t length = sequence_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      length = 1;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out.append(text, 0, length);
    }
    text.remove_prefix(length);
  }
  out += '"';
}

std::string quoted(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

namespace {
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string to_base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    unsigned group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < have ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (std::size_t k = 0; k < 4; ++k)
      out += k <= have ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  static constexpr auto kValues = [] {
    std::array<signed char, 256> values{};
    values.fill(-1);
    for (std::size_t i = 0; i < kAlphabet.size(); ++i)
      values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<signed char>(i);
    return values;
  }();
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    bool last = i + 4 == text.size();
    int padding = last ? (text[i + 3] == '=') + (text[i + 2] == '=' && text[i + 3] == '=') : 0;
    unsigned group = 0;
    for (int k = 0; k < 4; ++k) {
      int value = k >= 4 - padding ? 0 : kValues[static_cast<unsigned char>(text[i + k])];
      if (value < 0) return std::nullopt;
      group = group << 6 | static_cast<unsigned>(value);
    }
    // Bits that no byte takes must be zero: one text for one content.
    if ((padding == 1 && (group & 0xFF) != 0) || (padding == 2 && (group & 0xFFFF) != 0))
      return std::nullopt;
    out += static_cast<char>(group >> 16);
    if (padding < 2) out += static_cast<char>(group >> 8);
    if (padding < 1) out += static_cast<char>(group);
  }
  return out;
}

}  // namespace perdure::executor::runner
