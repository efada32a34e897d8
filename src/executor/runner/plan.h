// The plan of a launch: what the server decides and the launcher carries out, step by step.
//
// A list of steps, each a word and its arguments, all text; encoded with lengths, so that no byte
// has a meaning of its own. launch.h lists the steps. The same code encodes and decodes it on both
// sides.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace perdure::executor::runner {

using PlanStep = std::vector<std::string>;
using Plan = std::vector<PlanStep>;

inline void append_length(std::string& out, std::size_t length) {
  auto number = static_cast<std::uint32_t>(length);
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

inline std::string encode_plan(const Plan& plan) {
  std::string out;
  append_length(out, plan.size());
  for (const PlanStep& step : plan) {
    append_length(out, step.size());
    for (const std::string& word : step) {
      append_length(out, word.size());
      out += word;
    }
  }
  return out;
}

/// nullopt for text that encode_plan did not make.
inline std::optional<Plan> decode_plan(std::string_view text) {
  auto take_length = [&](std::size_t* length) {
    std::uint32_t number = 0;
    if (text.size() < sizeof number) return false;
    std::memcpy(&number, text.data(), sizeof number);
    text.remove_prefix(sizeof number);
    *length = number;
    return number <= text.size();
  };
  std::size_t steps = 0;
  if (!take_length(&steps)) return std::nullopt;
  Plan plan;
  for (std::size_t i = 0; i < steps; ++i) {
    std::size_t words = 0;
    if (!take_length(&words) || words == 0) return std::nullopt;
    PlanStep& step = plan.emplace_back();
    for (std::size_t k = 0; k < words; ++k) {
      std::size_t length = 0;
      if (!take_length(&length)) return std::nullopt;
      step.emplace_back(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  if (!text.empty()) return std::nullopt;
  return plan;
}

}  // namespace perdure::executor::runner
