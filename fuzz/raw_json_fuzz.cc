// The strict JSON gate against Boost.JSON: what the gate lets through Boost parses, what the gate
// stops and Boost takes has a stated reason, and raw slices mean what the whole text means.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/raw_json.h"

namespace {

using perdure::json::value;

void demand(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

/// Demands that the slices of `text` parse to the parts of `whole`. True if an object has a key
/// twice, in which case Boost has kept the last.
bool compare_slices(std::string_view text, const value& whole) {
  bool duplicates = false;
  if (whole.is_array()) {
    std::size_t count = 0;
    perdure::for_each_raw_element(text, [&](std::string_view raw) {
      demand(count < whole.get_array().size(), "no more slices than elements");
      auto part = perdure::parse_json(raw);
      demand(part && *part == whole.get_array()[count], "a slice is its element");
      duplicates |= compare_slices(raw, *part);
      ++count;
    });
    demand(count == whole.get_array().size(), "a slice for each element");
  } else if (whole.is_object()) {
    std::size_t count = 0;
    perdure::for_each_raw_member(text, [&](std::string_view key, std::string_view raw) {
      const value* member = perdure::find(whole.get_object(), key);
      auto part = perdure::parse_json(raw);
      demand(member && part, "a slice is a member");
      if (*part != *member) duplicates = true;  // an earlier twin
      duplicates |= compare_slices(raw, *part);
      ++count;
    });
    demand(count >= whole.get_object().size(), "a slice for each member");
    duplicates |= count > whole.get_object().size();
  } else if (whole.is_string()) {
    demand(perdure::decode_json_string(text) == perdure::as_view(whole.get_string()),
           "a decoded literal is its string");
  } else {
    perdure::for_each_raw_element(text, [](std::string_view) { demand(false, "no element"); });
  }
  return duplicates;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto strict = perdure::check_strict_json(text);
  auto exact = perdure::check_strict_json(text, {.exact_numbers = true});
  auto parsed = perdure::parse_json(text);
  demand(strict || !exact, "exact numbers only refuse more");
  demand(parsed || !strict, "what is accepted can be parsed");
  if (!strict) demand(strict.error().message.size() < 6000, "an error stays readable");

  // Unchecked text: in bounds, nothing more is promised.
  perdure::for_each_raw_element(text, [](std::string_view) {});
  perdure::for_each_raw_member(text, [](std::string_view, std::string_view) {});
  if (!parsed) return 0;

  std::string_view trimmed = text;
  while (!trimmed.empty() && std::string_view(" \t\r\n").contains(trimmed.front()))
    trimmed.remove_prefix(1);
  while (!trimmed.empty() && std::string_view(" \t\r\n").contains(trimmed.back()))
    trimmed.remove_suffix(1);
  bool duplicates = compare_slices(trimmed, *parsed);
  if (strict) demand(!duplicates, "what is accepted has no duplicate key");
  bool far_exponent = text.find_first_of("eE") != std::string_view::npos && !strict &&
                      strict.error().message.contains("range of a double");
  if (!strict) demand(duplicates || far_exponent, "what only the gate refuses has a stated reason");
  if (exact) {
    auto again = perdure::parse_json(perdure::serialize(*parsed));
    demand(again && *again == *parsed, "exact numbers survive printing");
  }
  return 0;
}
