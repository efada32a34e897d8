// Writes a JSON object member by member, so that raw JSON text can be put in as the bytes it is.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace perdure::models {

inline std::string json_quoted(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

class ObjectText {
 public:
  /// A string member.
  ObjectText& add(std::string_view key, std::string_view text) {
    begin(key);
    append_quoted(out_, text);
    return *this;
  }
  ObjectText& add(std::string_view key, const char* text) {
    return add(key, std::string_view(text));
  }
  ObjectText& add(std::string_view key, std::same_as<bool> auto value) {
    return add_raw(key, value ? "true" : "false");
  }
  ObjectText& add(std::string_view key, std::int64_t value) {
    return add_raw(key, std::to_string(value));
  }
  /// The shortest text that reads as the same number; it must be finite.
  ObjectText& add(std::string_view key, std::same_as<double> auto value) {
    std::array<char, 32> digits;
    auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    return add_raw(key, std::string_view(digits.data(), end));
  }
  /// Nothing where there is no value.
  template <class T>
  ObjectText& add_known(std::string_view key, const std::optional<T>& value) {
    return value ? add(key, *value) : *this;
  }
  /// A member whose value is JSON text already.
  ObjectText& add_raw(std::string_view key, std::string_view json) {
    begin(key);
    out_ += json;
    return *this;
  }
  /// The finished object; this one is empty afterwards.
  std::string text() { return std::exchange(out_, "{") + '}'; }

 private:
  void begin(std::string_view key) {
    if (out_.size() > 1) out_ += ',';
    append_quoted(out_, key);
    out_ += ':';
  }
  std::string out_ = "{";
};

class ArrayText {
 public:
  ArrayText& add_raw(std::string_view json) {
    if (out_.size() > 1) out_ += ',';
    out_ += json;
    return *this;
  }
  bool empty() const { return out_.size() == 1; }
  std::string text() { return std::exchange(out_, "[") + ']'; }

 private:
  std::string out_ = "[";
};

}  // namespace perdure::models
