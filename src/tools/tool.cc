#include "tools/tool.h"

#include <array>
#include <utility>

namespace perdure::tools {
namespace {

constexpr std::array<std::pair<RepeatClass, std::string_view>, 5> kWords = {{
    {RepeatClass::kPure, "pure"},
    {RepeatClass::kRepeatable, "repeatable"},
    {RepeatClass::kKeyed, "keyed"},
    {RepeatClass::kTransactional, "transactional"},
    {RepeatClass::kOpaque, "opaque"},
}};

}  // namespace

std::string_view to_string(RepeatClass repeat_class) {
  for (const auto& [value, word] : kWords)
    if (value == repeat_class) return word;
  return "opaque";
}

std::optional<RepeatClass> parse_repeat_class(std::string_view word) {
  for (const auto& [value, known] : kWords)
    if (known == word) return value;
  return std::nullopt;
}

bool may_repeat(RepeatClass repeat_class) {
  switch (repeat_class) {
    case RepeatClass::kPure:
    case RepeatClass::kRepeatable:
    case RepeatClass::kKeyed:
      return true;
    case RepeatClass::kTransactional:
    case RepeatClass::kOpaque:
      return false;
  }
  return false;
}

}  // namespace perdure::tools
