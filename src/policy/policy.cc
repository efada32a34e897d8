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
  return kind == ActionKind::kModelCall ? "model_call" : "tool_call";
}

}  // namespace perdure::policy
