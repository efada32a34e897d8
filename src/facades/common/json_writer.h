// Writes JSON text member by member, without building a tree.
//
// A value: it appends to a string it borrows, for any thread. Members appear in the order of the
// calls. `raw` splices text that is JSON already, byte for byte: tool arguments, schemas.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace perdure::facades {

class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }
  void end() { out_ += '}'; }

  ObjectWriter& text(std::string_view key, std::string_view value) {
    append_quoted(begin(key), value);
    return *this;
  }
  ObjectWriter& text_or_null(std::string_view key, const std::optional<std::string>& value) {
    return value ? text(key, *value) : null(key);
  }
  ObjectWriter& number(std::string_view key, std::int64_t value) {
    begin(key) += std::to_string(value);
    return *this;
  }
  ObjectWriter& boolean(std::string_view key, bool value) {
    return raw(key, value ? "true" : "false");
  }
  ObjectWriter& null(std::string_view key) { return raw(key, "null"); }
  ObjectWriter& raw(std::string_view key, std::string_view json_text) {
    begin(key) += json_text;
    return *this;
  }

  /// Writes the key; the caller appends one value to what is returned.
  std::string& begin(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    append_quoted(out_, key);
    out_ += ':';
    return out_;
  }

 private:
  std::string& out_;
  bool first_ = true;
};

/// Appends `[a,b,…]`: calls `append(out, element)` for each.
template <class Range, class Append>
void append_array(std::string& out, const Range& range, Append&& append) {
  out += '[';
  bool first = true;
  for (const auto& element : range) {
    if (!first) out += ',';
    first = false;
    append(out, element);
  }
  out += ']';
}

}  // namespace perdure::facades
