// The one place before every effect: may it happen?
//
// The engine asks here before it writes an intent, for model calls and tool calls alike, and
// journals the decision with the intent: no effect starts without one. What is decided on is what
// is executed: `canonical_bytes` are the very bytes that will be sent, already checked for
// duplicate keys, broken UTF-8 and inexact numbers. Implementations are owned by the composition
// root, called on the loop, and must answer at once, without waiting for anything; they cannot
// fail: whatever goes wrong inside is a kDeny with its reason.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace perdure::policy {

enum class ActionKind {
  kModelCall,
  kToolCall,
  kToolList,  ///< a server outside is asked for its tools
};

struct Action {
  SessionKey session;
  std::string principal;  ///< on whose behalf: the caller that started the turn
  ActionKind kind = ActionKind::kModelCall;
  /// The model as the agent names it; the tool, for one of a server "label/tool"; the server's
  /// label.
  std::string name;
  /// The request or the arguments, byte for byte; valid during the call only.
  std::string_view canonical_bytes;
  std::string agent;                      ///< the id of the session's agent
  std::optional<std::string> workstream;  ///< of the session
};

enum class Verdict {
  kAllow,
  kDeny,
  kAsk,  ///< a person decides; the session waits
};

struct Decision {
  Verdict verdict = Verdict::kDeny;
  std::string rule;    ///< the name of the rule that decided, for the journal
  std::string reason;  ///< a sentence for the model and for people; empty where allowed
};

class Policy {
 public:
  virtual ~Policy() = default;
  virtual Decision decide(const Action& action) = 0;
};

/// The default: everything is allowed, by the rule "default".
class AllowAll final : public Policy {
 public:
  Decision decide(const Action& action) override;
};

/// "allow", "deny", "ask": as the journal stores them.
std::string_view to_string(Verdict verdict);
/// "model_call", "tool_call", "tool_list".
std::string_view to_string(ActionKind kind);

}  // namespace perdure::policy
