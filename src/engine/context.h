// What a model is shown: the conversation in order, as the journal has it.
//
// A Context belongs to an actor and is filled from the log when its first model call after waking is
// due; from then on every applied entry is added. The prefix is stable from call to call, so that
// providers' prompt caches hit; nothing volatile stands in it. Abandoned attempts leave no trace.
#pragma once

#include <vector>

#include "engine/session_state.h"
#include "models/provider.h"

namespace perdure::engine {

class Context {
 public:
  bool loaded() const { return loaded_; }
  void clear() {
    items_.clear();
    through_ = 0;
    loaded_ = false;
  }
  /// Reads every entry up to `head`.
  async::Task<Result<void>> load(journal::JournalStore& journal, SessionKey key,
                                 std::uint64_t head);
  /// Entries that hold no item are skipped; so is one that is there already.
  Result<void> add(const journal::Entry& entry);

  /// A complete request: instructions, tools and every item. A function call that never got its
  /// result (its turn was cancelled) is followed by one that says so, as providers demand.
  models::ModelRequest request(const SessionState& state) const;

 private:
  std::vector<models::ContextItem> items_;
  std::uint64_t through_ = 0;
  bool loaded_ = false;
};

}  // namespace perdure::engine
