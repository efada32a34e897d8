#include "models/bedrock_model.h"

#include <charconv>

namespace perdure::models {
namespace {

using Effort = BedrockModel::Effort;
using Family = BedrockModel::Family;

/// What follows `maker` ("anthropic."), where that is a part of the id and not the end of a word.
std::string_view after_maker(std::string_view id, std::string_view maker) {
  for (std::size_t at = id.find(maker); at != std::string_view::npos; at = id.find(maker, at + 1))
    if (at == 0 || id[at - 1] == '.' || id[at - 1] == '/') return id.substr(at + maker.size());
  return {};
}

struct Version {
  int major = 0;  ///< 0: the name has no number
  int minor = 0;
  bool operator>=(const Version& other) const {
    return major != other.major ? major > other.major : minor >= other.minor;
  }
};

/// The version in "claude-3-7-sonnet-20250219-v1:0", "claude-opus-4-6-v1", "claude-opus-5": the
/// first part that is a number of one or two digits, and the next if it is one, too.
Version claude_version(std::string_view name) {
  Version version;
  while (!name.empty()) {
    std::size_t end = name.find('-');
    std::string_view part = name.substr(0, end);
    name = end == std::string_view::npos ? std::string_view() : name.substr(end + 1);
    int number = 0;
    auto [stop, ec] = std::from_chars(part.data(), part.data() + part.size(), number);
    bool is_number = part.size() <= 2 && ec == std::errc() && stop == part.data() + part.size();
    if (version.major == 0 && is_number) {
      version.major = number;
    } else if (version.major != 0) {
      if (is_number) version.minor = number;
      break;
    }
  }
  return version;
}

BedrockModel claude(std::string_view name) {
  BedrockModel model{.family = Family::kAnthropic};
  Version version = claude_version(name);
  bool ancient = name.starts_with("claude-v") || name.starts_with("claude-instant");
  // A Claude without a number is newer than its naming by number ("claude-mythos-preview").
  bool newest = !ancient && (version.major == 0 || version.major >= 5);
  if (newest || version >= Version{4, 6})
    model.effort = Effort::kAdaptiveThinking;
  else if (version >= Version{3, 7})
    model.effort = Effort::kThinkingBudget;
  else
    model.effort = Effort::kNotAReasoner;
  model.thinks_unasked = newest;
  model.caches = newest || version >= Version{3, 7} || name.starts_with("claude-3-5-haiku");
  model.caches_tools = model.caches;
  return model;
}

}  // namespace

BedrockModel BedrockModel::from_id(std::string_view model_id) {
  if (auto name = after_maker(model_id, "anthropic."); !name.empty()) return claude(name);
  if (auto name = after_maker(model_id, "amazon."); name.starts_with("nova-"))
    return {
        .family = Family::kNova,
        .effort = name.starts_with("nova-2-") ? Effort::kReasoningConfig : Effort::kNotAReasoner,
        .caches = true};
  if (auto name = after_maker(model_id, "openai."); !name.empty())
    return {.family = Family::kOpenAi,
            .effort = name.starts_with("gpt-oss") ? Effort::kFlat : Effort::kNested,
            .thinks_unasked = true};
  for (std::string_view maker : {"moonshot.", "moonshotai."})
    if (after_maker(model_id, maker).starts_with("kimi-k2")) return {.effort = Effort::kFlat};
  return {};
}

}  // namespace perdure::models
