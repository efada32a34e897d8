// Reads the JSON of a request member by member, strictly, and says what is wrong with which member.
//
// Values are slices of the request's text, which must have passed check_strict_json and must
// outlive them; nothing is copied until it is a string. Every failure is kInvalidArgument with the
// member's path in `param` ("agent.tools[0].name") and the wording that OpenAI's clients know. For
// any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/raw_json.h"

namespace perdure::facades {

enum class JsonKind { kNull, kBoolean, kInteger, kDecimal, kString, kArray, kObject };

/// One value and where it stands in the request.
struct JsonField {
  std::string_view raw;  ///< its text, without surrounding space
  std::string path;      ///< empty for the body itself

  JsonKind kind() const;
  bool is_null() const { return kind() == JsonKind::kNull; }
};

/// The members of one object.
class JsonObject {
 public:
  static Result<JsonObject> read(const JsonField& field);

  /// "Unknown parameter" for the first member that is not among `known`.
  Result<void> allow(std::initializer_list<std::string_view> known) const;
  /// nullopt where the member is missing; null is a value.
  std::optional<JsonField> find(std::string_view key) const;
  /// The same, but null counts as missing.
  std::optional<JsonField> find_value(std::string_view key) const;
  Result<JsonField> require(std::string_view key) const;
  std::string path_of(std::string_view key) const;
  const std::vector<RawMember>& members() const { return members_; }

 private:
  std::string path_;
  std::vector<RawMember> members_;
};

Result<std::string> read_string(const JsonField& field);
/// A string that is not empty.
Result<std::string> read_text(const JsonField& field);
Result<bool> read_boolean(const JsonField& field);
/// An integer of at least `minimum`.
Result<std::int64_t> read_integer(const JsonField& field, std::int64_t minimum);
Result<std::vector<JsonField>> read_array(const JsonField& field);
/// One of `choices`; the message lists them.
Result<std::string> read_choice(const JsonField& field,
                                std::initializer_list<std::string_view> choices);

// The failures, for checks that the readers above cannot make.
std::unexpected<Error> missing_parameter(std::string path);
std::unexpected<Error> wrong_type(const JsonField& field, std::string_view expected);
std::unexpected<Error> not_a_choice(std::string path, std::string_view value,
                                    std::initializer_list<std::string_view> choices);
/// Known, valid, and not offered by this server: kUnimplemented. `what` begins the sentence
/// "… is not supported yet."
std::unexpected<Error> not_supported(std::string path, std::string_view what);

/// Unicode characters of valid UTF-8.
std::size_t character_count(std::string_view text);

/// The same text for all JSON texts that differ only in space, escapes and the order of members.
/// Numbers are kept as they are written.
std::string canonical_json(std::string_view text);

}  // namespace perdure::facades
