#include "models/anthropic_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/bytes.h"

namespace perdure::models {
namespace {

bool is_accepted(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '_';
}

std::string short_digest(std::string_view text) {
  return to_hex(as_view(sha256(text))).substr(0, 12);
}

/// The number that a part of a model's name is; a date is none.
std::optional<int> version_number(std::string_view part) {
  int number = 0;
  auto [end, ec] = std::from_chars(part.data(), part.data() + part.size(), number);
  if (ec != std::errc() || end != part.data() + part.size() || number > 99) return std::nullopt;
  return number;
}

}  // namespace

std::string anthropic_tool_name(std::string_view name) {
  if (!name.empty() && name.size() <= kMaxAnthropicToolName &&
      std::ranges::all_of(name, is_accepted))
    return std::string(name);
  std::string digest = short_digest(name);
  std::string readable(name.substr(0, kMaxAnthropicToolName - digest.size() - 1));
  std::ranges::replace_if(readable, [](char c) { return !is_accepted(c); }, '_');
  return readable + "_" + digest;
}

std::string anthropic_call_id(std::string_view id, std::size_t earlier) {
  if (earlier == 0 && !id.empty() && std::ranges::all_of(id, is_accepted)) return std::string(id);
  return "call_" + short_digest(fmt::format("{} {}", earlier, id));
}

AnthropicToolNames::AnthropicToolNames(const std::vector<FunctionTool>& tools) {
  for (const FunctionTool& tool : tools)
    if (std::string sent = anthropic_tool_name(tool.name); sent != tool.name)
      renamed_.push_back({std::move(sent), tool.name});
}

std::string AnthropicToolNames::original(std::string_view sent) const {
  auto found = std::ranges::find(renamed_, sent, &Renamed::sent);
  return found == renamed_.end() ? std::string(sent) : found->name;
}

AnthropicThinking anthropic_thinking(std::string_view model) {
  static constexpr std::string_view kFamily = "claude-";
  std::size_t at = model.find(kFamily);
  if (at == std::string_view::npos) return AnthropicThinking::kAdaptive;
  std::string_view rest = model.substr(at + kFamily.size());
  std::optional<int> major;
  while (!rest.empty()) {
    std::size_t end = std::min(rest.find_first_of("-.@:"), rest.size());
    std::optional<int> number = version_number(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (major) {
      bool current = std::pair(*major, number.value_or(0)) >= std::pair(4, 6);
      return current ? AnthropicThinking::kAdaptive : AnthropicThinking::kBudget;
    }
    major = number;
  }
  return major && *major < 5 ? AnthropicThinking::kBudget : AnthropicThinking::kAdaptive;
}

}  // namespace perdure::models
