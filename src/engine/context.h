// What a model is shown: the conversation in order, as the journal has it.
//
// A Context belongs to an actor and is filled from the log when its first model call after waking
// is due; from then on every applied entry is added. It always is the whole conversation up to the
// entry `through`, which is how who adds to it knows whether it may. The prefix is stable from call
// to call, so that providers' prompt caches hit; nothing volatile stands in it. Abandoned attempts
// leave no trace.
#pragma once

#include <vector>

#include "engine/session_state.h"
#include "engine/tool_names.h"
#include "models/provider.h"

namespace perdure::engine {

class Context {
 public:
  std::uint64_t through() const { return through_; }
  void clear() {
    items_.clear();
    lists_.clear();
    through_ = 0;
  }
  /// Reads some more entries behind `through`, none behind `head`. For one caller at a time.
  async::Task<Result<void>> read_on(journal::JournalStore* journal, SessionKey key,
                                    std::uint64_t head);
  /// The entry must be the next one that may hold an item.
  Result<void> add(const journal::Entry& entry);

  /// The tools of the agent's servers, as far as they are known, under the names for the model.
  OfferedTools offered(const AgentConfig& agent) const { return name_tools(agent, lists_); }
  /// A complete request: instructions, tools and every item. A function call that never got its
  /// result (its turn was cancelled) is followed by one that says so, as providers demand.
  /// What another model than `model` ("<provider>/<upstream name>") wrote goes without its raw
  /// form.
  models::ModelRequest request(const SessionState& state, const OfferedTools& offered,
                               std::string_view model) const;

 private:
  std::vector<models::ContextItem> items_;
  ToolLists lists_;  ///< the newest of each server
  std::uint64_t through_ = 0;
};

}  // namespace perdure::engine
