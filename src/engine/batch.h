// Entries on their way into the journal: what one command adds, folded as it is written.
//
// A Batch works on a copy of the state, so whoever decides the next entry sees the effect of the
// ones before it, and nothing has happened if the append fails. `commit` in the actor appends it as
// one transaction and only then makes the copy the state.
#pragma once

#include <string>
#include <vector>

#include "engine/budget.h"
#include "engine/fold.h"

namespace perdure::engine {

class Batch {
 public:
  Batch(const SessionState& state, UnixMillis now, bool events)
      : state_(state), first_head_(state.head), now_(now), options_{.events = events} {}

  /// Adds an entry. kInternal if the fold refuses it: a bug of the caller.
  template <class Body>
  Result<std::uint64_t> add(journal::Kind kind, const Body& body) {
    return add_text(kind, encode(body));
  }
  // Model calls carry money: the end of one is billed here, so that nobody can forget it.
  Result<std::uint64_t> add(journal::Kind kind, ModelCallStartedBody body);
  Result<std::uint64_t> add(journal::Kind kind, ModelCallFinishedBody body);
  Result<std::uint64_t> add(journal::Kind kind, ModelCallAbandonedBody body);
  Result<std::uint64_t> add(journal::Kind kind, CompactionFinishedBody body);

  const SessionState& state() const { return state_; }
  UnixMillis now() const { return now_; }
  std::uint64_t next_seq() const { return state_.head + 1; }
  bool makes_events() const { return options_.events; }
  bool empty() const { return entries_.empty(); }
  const std::vector<journal::Entry>& entries() const { return entries_; }
  const std::vector<journal::Settlement>& settlements() const { return settle_; }
  const std::vector<journal::Reservation>& reservations() const { return reserve_; }

  // What commits together with the entries.
  std::vector<journal::EffectRow> open_effects;
  std::vector<std::string> close_effects;
  std::vector<journal::TimerRow> set_timers;
  std::vector<std::string> clear_timers;
  bool finishes_effect = false;
  std::vector<BudgetHold> holds;  ///< of its reservations, until they are on disk

  // For the actor, once it is committed.
  Events take_events() { return std::move(events_); }
  SessionState take_state() { return std::move(state_); }
  journal::Append to_append() const;

 private:
  template <class Body>
  Result<std::uint64_t> add_end(journal::Kind kind, Body body);
  Result<std::uint64_t> add_text(journal::Kind kind, std::string body);

  SessionState state_;
  std::uint64_t first_head_;
  UnixMillis now_;
  FoldOptions options_;
  std::vector<journal::Entry> entries_;
  Events events_;
  std::vector<journal::Settlement> settle_;
  std::vector<journal::Reservation> reserve_;
};

}  // namespace perdure::engine
