// JSON for the whole server: a thin layer over Boost.JSON.
//
// Objects keep their insertion order, which matters for stable prompts and for hashes. `serialize`
// differs from Boost's in one thing: doubles are printed in their shortest round-trip form (0.7,
// not 7E-1). Text whose bytes matter (tool arguments, provider items) is never re-serialised: keep
// the raw slice, see base/raw_json.h.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace perdure {

namespace json = boost::json;

/// How deep JSON from outside may nest before it is refused.
inline constexpr std::size_t kMaxJsonDepth = 64;

/// Parses one JSON text. Doubles are the nearest to what is written (Boost's own are often one step
/// off); a number beyond their range is refused. Errors are kInvalidArgument with a sentence.
/// Duplicate keys are not seen here: text from outside goes through check_strict_json first.
Result<json::value> parse_json(std::string_view text);

/// Compact text of a value.
std::string serialize(const json::value& value);
void serialize_to(std::string& out, const json::value& value);
/// Appends `text` as a JSON string literal, quotes included.
void append_quoted(std::string& out, std::string_view text);

/// Readers for our own, trusted documents: absent or of another type gives the fallback.
const json::value* find(const json::object& object, std::string_view key);
std::string_view get_string(const json::object& object, std::string_view key,
                            std::string_view fallback = {});
std::int64_t get_int(const json::object& object, std::string_view key, std::int64_t fallback = 0);
bool get_bool(const json::object& object, std::string_view key, bool fallback = false);
const json::object& get_object(const json::object& object, std::string_view key);
const json::array& get_array(const json::object& object, std::string_view key);

inline std::string_view as_view(const json::string& text) {
  return {text.data(), text.size()};
}

}  // namespace perdure
