// Strict checks and raw slices of JSON text, without building a tree.
//
// What is decided on must be what is executed: text that two readers could understand differently
// is refused before anybody decides on it, and what a provider sent is kept and sent back as the
// bytes it sent. `check_strict_json` is the gate; the readers below it cut slices out of text that
// has passed it. On text that has not, they stay in bounds and give some answer. Pure functions of
// their arguments, for any thread; slices point into the caller's text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace perdure {

struct StrictOptions {
  /// Arrays and objects that may be open at once.
  std::size_t max_depth = kMaxJsonDepth;
  /// Also refuse numbers that this server would change: those whose *value* differs after being
  /// read as int64, uint64 or the nearest double and printed in the shortest form. So 1.0, 0.10,
  /// 1e2 and 18446744073709551615 pass; 1e400, 1e-400, 12345678901234567890123 and
  /// 0.1000000000000000055 do not.
  bool exact_numbers = false;
};

/// Success for one well-formed RFC 8259 text in valid UTF-8, without byte order mark, lone
/// surrogate escape, number beyond a double's range, anything after the value, or an object that
/// has a key twice (keys are compared decoded, so "a" and "\u0061" are one). Otherwise
/// kInvalidArgument: the message names what is wrong and the byte, `param` the path of the value
/// around it, such as `tools[0].parameters`.
Result<void> check_strict_json(std::string_view text, StrictOptions options = {});

/// The text of member `key` of an object, without surrounding space; nullopt if there is none or
/// the text is not an object.
std::optional<std::string_view> raw_member(std::string_view object_text, std::string_view key);

/// The content of a JSON string literal, quotes and escapes resolved. Empty if it is no literal.
std::string decode_json_string(std::string_view literal);

/// Walks the elements of an array in order: `while (auto element = reader.next())`. The text of
/// anything but an array has none.
class RawArrayReader {
 public:
  explicit RawArrayReader(std::string_view array_text);
  std::optional<std::string_view> next();

 private:
  std::string_view text_;
  std::size_t at_;
};

struct RawMember {
  std::string key;         ///< decoded
  std::string_view value;  ///< raw
};

/// The same for the members of an object.
class RawObjectReader {
 public:
  explicit RawObjectReader(std::string_view object_text);
  std::optional<RawMember> next();

 private:
  std::string_view text_;
  std::size_t at_;
};

/// Calls `callback(std::string_view value)` for each element.
template <class Callback>
void for_each_raw_element(std::string_view array_text, Callback&& callback) {
  RawArrayReader reader(array_text);
  while (auto element = reader.next()) callback(*element);
}

/// Calls `callback(std::string_view key, std::string_view value)` for each member.
template <class Callback>
void for_each_raw_member(std::string_view object_text, Callback&& callback) {
  RawObjectReader reader(object_text);
  while (auto member = reader.next()) callback(std::string_view(member->key), member->value);
}

}  // namespace perdure
