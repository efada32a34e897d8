// A small strict JSON reader, and a writer: the runner is static and has no library.
//
// Values, for any thread. The reader takes one RFC 8259 text in valid UTF-8, refuses a key that
// stands twice and what nests deeper than kMaxJsonDepth, and says what is wrong with a short
// sentence.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace perdure::executor::runner {

class Json {
 public:
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

  /// nullopt and a sentence in `error` for anything but one well-formed text.
  static std::optional<Json> parse(std::string_view text, std::string* error);

  Kind kind() const { return kind_; }
  bool is_object() const { return kind_ == Kind::kObject; }
  bool is_null() const { return kind_ == Kind::kNull; }
  /// Of an object; nullptr where there is none or it is null.
  const Json* find(std::string_view key) const;

  std::optional<bool> as_bool() const;
  /// A whole number of 0 or more.
  std::optional<std::int64_t> as_count() const;
  std::optional<std::string_view> as_string() const;
  const std::vector<Json>& items() const { return items_; }
  const std::vector<std::pair<std::string, Json>>& members() const { return members_; }
  /// The number or string as it is written in an answer's "id".
  std::string as_id() const;

 private:
  friend class JsonReader;
  Kind kind_ = Kind::kNull;
  bool flag_ = false;
  std::string text_;  ///< of a string its content, of a number its digits
  std::vector<Json> items_;
  std::vector<std::pair<std::string, Json>> members_;
};

/// Appends `text` as a JSON string; bytes that are no UTF-8 become U+FFFD.
void append_quoted(std::string& out, std::string_view text);
std::string quoted(std::string_view text);

/// RFC 4648 base64 with padding.
std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

}  // namespace perdure::executor::runner
