// An update of a session: from the command to its entry, and from the entry into the state.
//
// Everything is shown at once. What counts when:
//
//   tools                   from the next model call on, also in a turn that runs; a call that runs
//                           keeps those that it was offered
//   model, effort, tier,    from the next turn on: a turn ends as it began, whatever calls it makes
//   the prompts' cache
//   metadata, spend limit   at once: the next reservation is measured by the new limit
//
// So the state has two agents while a turn runs: `agent` works, `next_agent` is shown and takes
// over when the turn ends. Pure functions, used by the actor on its loop and by the fold.
#pragma once

#include "engine/session_state.h"

namespace perdure::engine {

class Batch;

/// Adds the update's entry, and before it the ends of lists of tools that nobody wants any more.
Result<void> add_update(Batch& batch, SessionChanges changes);

// The fold's part.
void note_update(SessionState& state, const SessionUpdatedBody& body);
/// The turn has ended: what was to count from the next one on does now.
void adopt_next_agent(SessionState& state);

}  // namespace perdure::engine
