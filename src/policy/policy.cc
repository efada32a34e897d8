#include "policy/policy.h"

namespace perdure::policy {

Decision AllowAll::decide(const Action&) {
  return {Verdict::kAllow, "default", {}};
}

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAllow:
      return "allow";
    case Verdict::kDeny:
      return "deny";
    case Verdict::kAsk:
      return "ask";
  }
  return "deny";
}

std::string_view to_string(ActionKind kind) {
  switch (kind) {
    case ActionKind::kModelCall:
      return "model_call";
    case ActionKind::kToolCall:
      return "tool_call";
    case ActionKind::kToolList:
      return "tool_list";
  }
  return "tool_call";
}

}  // namespace perdure::policy
