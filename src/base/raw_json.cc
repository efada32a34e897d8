#include "base/raw_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <vector>

#include "base/bytes.h"
#include "base/json_number.h"

namespace perdure {
namespace {

/// Keys longer than this are cut where a path is shown.
constexpr std::size_t kMaxShownKey = 64;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

void skip_space(std::string_view text, std::size_t& at) {
  while (at < text.size() && is_space(text[at])) ++at;
}

/// Moves behind the string literal that begins at `at`.
void skip_string(std::string_view text, std::size_t& at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      ++at;
      return;
    }
  }
  at = text.size();
}

// --- Escapes ------------------------------------------------------------------------------------

/// The four hexadecimal digits at `at`; -1 if they are not there.
int read_hex4(std::string_view text, std::size_t at) {
  if (at > text.size() || text.size() - at < 4) return -1;
  unsigned value = 0;
  auto [end, ec] = std::from_chars(text.data() + at, text.data() + at + 4, value, 16);
  return ec == std::errc() && end == text.data() + at + 4 ? static_cast<int>(value) : -1;
}

bool is_high_surrogate(int unit) {
  return unit >= 0xD800 && unit < 0xDC00;
}
bool is_low_surrogate(int unit) {
  return unit >= 0xDC00 && unit < 0xE000;
}

/// The code point of the \u escape whose backslash is at `at`, a pair counting as one; moves `at`
/// behind it. -1, and `at` untouched, if it is malformed or half a pair.
int read_unicode_escape(std::string_view text, std::size_t& at) {
  int unit = read_hex4(text, at + 2);
  if (unit < 0 || is_low_surrogate(unit)) return -1;
  if (!is_high_surrogate(unit)) {
    at += 6;
    return unit;
  }
  int low = text.substr(at + 6, 2) == "\\u" ? read_hex4(text, at + 8) : -1;
  if (!is_low_surrogate(low)) return -1;
  at += 12;
  return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
}

void append_utf8(std::string& out, int code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

/// The character a one-letter escape stands for; 0 if there is no such escape.
char simple_escape(char letter) {
  switch (letter) {
    case '"':
      return '"';
    case '\\':
      return '\\';
    case '/':
      return '/';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return 0;
  }
}

/// What stands between the quotes, escapes resolved; malformed ones are dropped.
std::string unescape(std::string_view content) {
  std::string out;
  out.reserve(content.size());
  for (std::size_t at = 0; at < content.size();) {
    if (content[at] != '\\') {
      out += content[at++];
      continue;
    }
    if (at + 1 < content.size() && content[at + 1] == 'u') {
      if (int code = read_unicode_escape(content, at); code >= 0) {
        append_utf8(out, code);
        continue;
      }
    } else if (at + 1 < content.size() && simple_escape(content[at + 1]) != 0) {
      out += simple_escape(content[at + 1]);
    }
    at += 2;
  }
  return out;
}

// --- The gate -----------------------------------------------------------------------------------

class StrictScanner {
 public:
  StrictScanner(std::string_view text, StrictOptions options) : text_(text), options_(options) {}

  Result<void> run();

 private:
  /// An open array or object.
  struct Frame {
    bool is_object;
    std::size_t index = 0;          ///< of the element being read
    std::string_view key;           ///< of the member being read: content of its literal
    std::size_t first_key = 0;      ///< where this object's keys begin in keys_
    std::size_t first_decoded = 0;  ///< and in decoded_
  };
  struct Key {
    std::string_view decoded;
    std::size_t offset;
  };

  Result<void> value();
  Result<void> open(bool is_object);
  Result<void> close();
  Result<void> after_value();
  Result<void> key();
  Result<std::string_view> string();
  Result<void> escape();
  Result<void> number();
  Result<void> literal(std::string_view word);
  Result<void> refuse_duplicates(const Frame& object);

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  std::unexpected<Error> refuse(std::size_t offset, std::string_view problem) const;
  std::unexpected<Error> unexpected(std::string_view wanted) const;
  std::string path() const;

  std::string_view text_;
  StrictOptions options_;
  std::size_t at_ = 0;
  bool done_ = false;  ///< the outermost value is complete
  std::vector<Frame> frames_;
  std::vector<Key> keys_;            ///< of all open objects, innermost last
  std::deque<std::string> decoded_;  ///< what those of keys_ that had escapes point into
};

Result<void> StrictScanner::run() {
  if (text_.starts_with("\xEF\xBB\xBF")) return refuse(0, "the text begins with a byte order mark");
  while (!done_) {
    skip_space(text_, at_);
    TRY_VOID(value());
  }
  skip_space(text_, at_);
  if (at_ < text_.size()) return refuse(at_, "there is something after the end of the value");
  return {};
}

/// Reads one scalar, or enters a container; then everything up to where the next value begins.
Result<void> StrictScanner::value() {
  switch (peek()) {
    case '{':
      return open(true);
    case '[':
      return open(false);
    case '"': {
      TRY_VOID(string());
      break;
    }
    case 't': {
      TRY_VOID(literal("true"));
      break;
    }
    case 'f': {
      TRY_VOID(literal("false"));
      break;
    }
    case 'n': {
      TRY_VOID(literal("null"));
      break;
    }
    default: {
      if (peek() != '-' && !is_digit(peek())) return unexpected("a value");
      TRY_VOID(number());
    }
  }
  return after_value();
}

Result<void> StrictScanner::open(bool is_object) {
  if (frames_.size() == options_.max_depth)
    return refuse(at_, fmt::format("it nests deeper than {} levels", options_.max_depth));
  ++at_;
  frames_.push_back(
      {.is_object = is_object, .first_key = keys_.size(), .first_decoded = decoded_.size()});
  skip_space(text_, at_);
  if (peek() == (is_object ? '}' : ']')) return after_value();
  return is_object ? key() : Result<void>();
}

/// Leaves the innermost container, whose closing bracket is next.
Result<void> StrictScanner::close() {
  ++at_;
  Frame frame = frames_.back();
  if (frame.is_object) {
    TRY_VOID(refuse_duplicates(frame));
    keys_.resize(frame.first_key);
    decoded_.resize(frame.first_decoded);
  }
  frames_.pop_back();
  return {};
}

/// Closes the containers that end here and goes to the next value of the one that goes on.
Result<void> StrictScanner::after_value() {
  skip_space(text_, at_);
  while (!frames_.empty() && peek() == (frames_.back().is_object ? '}' : ']')) {
    TRY_VOID(close());
    skip_space(text_, at_);
  }
  if (frames_.empty()) {
    done_ = true;
    return {};
  }
  Frame& frame = frames_.back();
  if (peek() != ',')
    return unexpected(frame.is_object ? "a comma or the end of the object"
                                      : "a comma or the end of the array");
  ++at_;
  ++frame.index;
  skip_space(text_, at_);
  return frame.is_object ? key() : Result<void>();
}

Result<void> StrictScanner::key() {
  frames_.back().key = {};
  if (peek() != '"') return unexpected("a member name in quotes");
  std::size_t offset = at_;
  TRY(content, string());
  frames_.back().key = content;
  if (content.find('\\') != std::string_view::npos)
    content = decoded_.emplace_back(unescape(content));
  keys_.push_back({content, offset});
  skip_space(text_, at_);
  if (peek() != ':') return unexpected("a colon after the member name");
  ++at_;
  return {};
}

/// Sorting once when the object ends costs n log n whatever the keys are.
Result<void> StrictScanner::refuse_duplicates(const Frame& object) {
  auto begin = keys_.begin() + static_cast<std::ptrdiff_t>(object.first_key);
  std::sort(begin, keys_.end(), [](const Key& a, const Key& b) {
    return a.decoded != b.decoded ? a.decoded < b.decoded : a.offset < b.offset;
  });
  auto twin = std::adjacent_find(begin, keys_.end(),
                                 [](const Key& a, const Key& b) { return a.decoded == b.decoded; });
  if (twin == keys_.end()) return {};
  std::size_t offset = (twin + 1)->offset, end = offset;
  skip_string(text_, end);
  frames_.back().key = text_.substr(offset + 1, end - offset - 2);
  return refuse(offset, "the member name appears twice in its object");
}

/// Reads a string literal and gives what stands between its quotes.
Result<std::string_view> StrictScanner::string() {
  std::size_t begin = ++at_;
  while (at_ < text_.size()) {
    unsigned char c = static_cast<unsigned char>(text_[at_]);
    if (c == '"') return text_.substr(begin, at_++ - begin);
    if (c == '\\') {
      TRY_VOID(escape());
    } else if (c < 0x20) {
      return refuse(at_, "there is a control character in a string; it must be escaped");
    } else if (c < 0x80) {
      ++at_;
    } else {
      std::size_t length = utf8_sequence_length(text_.substr(at_));
      if (length == 0) return refuse(at_, "there is invalid UTF-8 in a string");
      at_ += length;
    }
  }
  return refuse(begin - 1, "a string has no end");
}

Result<void> StrictScanner::escape() {
  char letter = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
  if (letter == 'u') {
    if (read_hex4(text_, at_ + 2) < 0)
      return refuse(at_, "\\u is not followed by four hexadecimal digits");
    if (read_unicode_escape(text_, at_) < 0)
      return refuse(at_, "a \\u escape is half of a surrogate pair");
    return {};
  }
  if (simple_escape(letter) == 0) return refuse(at_, "a backslash begins no known escape");
  at_ += 2;
  return {};
}

Result<void> StrictScanner::number() {
  std::size_t begin = at_;
  auto digits = [this] {
    std::size_t first = at_;
    while (is_digit(peek())) ++at_;
    return at_ > first;
  };
  if (peek() == '-') ++at_;
  if (peek() == '0')
    ++at_;
  else if (!digits())
    return unexpected("a digit");
  if (is_digit(peek())) return refuse(begin, "a number begins with a superfluous zero");
  if (peek() == '.') {
    ++at_;
    if (!digits()) return unexpected("a digit after the decimal point");
  }
  if (peek() == 'e' || peek() == 'E') {
    ++at_;
    if (peek() == '+' || peek() == '-') ++at_;
    if (!digits()) return unexpected("a digit in the exponent");
  }
  std::string_view text = text_.substr(begin, at_ - begin);
  if (!is_in_double_range(text)) return refuse(begin, "a number is beyond the range of a double");
  if (options_.exact_numbers && !is_exact_number(text))
    return refuse(begin, "a number cannot be kept exactly; send it as a string");
  return {};
}

Result<void> StrictScanner::literal(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) return unexpected("a value");
  at_ += word.size();
  return {};
}

std::unexpected<Error> StrictScanner::refuse(std::size_t offset, std::string_view problem) const {
  std::string where = path();
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("The JSON text is refused: {} (at byte {}{}{}).", problem, offset,
                          where.empty() ? "" : ", in ", where),
              where);
}

std::unexpected<Error> StrictScanner::unexpected(std::string_view wanted) const {
  return refuse(at_, at_ < text_.size() ? fmt::format("{} was expected", wanted)
                                        : fmt::format("it ends where {} was expected", wanted));
}

/// True where a path reads well with the key as it is.
bool is_plain_key(std::string_view key) {
  auto plain = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-' || c == '$';
  };
  return key.size() <= kMaxShownKey && std::all_of(key.begin(), key.end(), plain);
}

std::string StrictScanner::path() const {
  std::string path;
  for (const Frame& frame : frames_) {
    if (!frame.is_object) {
      path += fmt::format("[{}]", frame.index);
      continue;
    }
    if (frame.key.empty()) continue;
    std::string key = unescape(frame.key);
    if (is_plain_key(key)) {
      if (!path.empty()) path += '.';
      path += key;
    } else {
      std::size_t shown = std::min(key.size(), kMaxShownKey);
      while (!is_valid_utf8(std::string_view(key).substr(0, shown))) --shown;
      path += '[';
      append_quoted(path, std::string_view(key).substr(0, shown));
      path += ']';
    }
  }
  return path;
}

// --- Slices of checked text ---------------------------------------------------------------------

/// The value that begins at or after `at`; moves behind it. Empty at the end of a container.
std::string_view take_value(std::string_view text, std::size_t& at) {
  skip_space(text, at);
  std::size_t begin = at;
  std::size_t depth = 0;
  while (at < text.size()) {
    char c = text[at];
    if (c == '"') {
      skip_string(text, at);
      if (depth == 0) break;
      continue;
    }
    if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) break;
      if (--depth == 0) {
        ++at;
        break;
      }
    } else if (depth == 0 && (c == ',' || is_space(c))) {
      break;
    }
    ++at;
  }
  return text.substr(begin, at - begin);
}

/// Where the first element of a container stands; the end of the text if it is none.
std::size_t enter(std::string_view text, char bracket) {
  std::size_t at = 0;
  skip_space(text, at);
  return at < text.size() && text[at] == bracket ? at + 1 : text.size();
}

/// Moves behind `mark` and the space before it, if that is what comes.
void skip_mark(std::string_view text, std::size_t& at, char mark) {
  skip_space(text, at);
  if (at < text.size() && text[at] == mark) ++at;
}

}  // namespace

Result<void> check_strict_json(std::string_view text, StrictOptions options) {
  return StrictScanner(text, options).run();
}

std::string decode_json_string(std::string_view literal) {
  if (literal.size() < 2 || !literal.starts_with('"') || !literal.ends_with('"')) return {};
  return unescape(literal.substr(1, literal.size() - 2));
}

RawArrayReader::RawArrayReader(std::string_view array_text)
    : text_(array_text), at_(enter(array_text, '[')) {}

std::optional<std::string_view> RawArrayReader::next() {
  std::string_view value = take_value(text_, at_);
  if (value.empty()) {
    at_ = text_.size();
    return std::nullopt;
  }
  skip_mark(text_, at_, ',');
  return value;
}

RawObjectReader::RawObjectReader(std::string_view object_text)
    : text_(object_text), at_(enter(object_text, '{')) {}

std::optional<RawMember> RawObjectReader::next() {
  skip_space(text_, at_);
  if (at_ >= text_.size() || text_[at_] != '"') {
    at_ = text_.size();
    return std::nullopt;
  }
  std::size_t begin = at_;
  skip_string(text_, at_);
  std::string key = decode_json_string(text_.substr(begin, at_ - begin));
  skip_mark(text_, at_, ':');
  std::string_view value = take_value(text_, at_);
  skip_mark(text_, at_, ',');
  return RawMember{std::move(key), value};
}

std::optional<std::string_view> raw_member(std::string_view object_text, std::string_view key) {
  RawObjectReader reader(object_text);
  while (auto member = reader.next())
    if (member->key == key) return member->value;
  return std::nullopt;
}

}  // namespace perdure
