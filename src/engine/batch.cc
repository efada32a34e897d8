#include "engine/batch.h"

#include "base/planted_bug.h"
#include "engine/limits.h"

namespace perdure::engine {
namespace {

/// Whether a call that ends like this is counted as one without an answer.
template <class Body>
bool no_answer(const Body&) {
  return false;
}
bool no_answer(const ModelCallAbandonedBody& body) {
  return body.rejected.empty();
}

}  // namespace

Result<std::uint64_t> Batch::add_text(journal::Kind kind, std::string body) {
  if (next_seq() > kLastSeq)
    return fail(ErrorCode::kTooLarge, "The session has as many entries as it can have.");
  journal::Entry entry{.seq = next_seq(), .kind = kind, .time = now_, .body = std::move(body)};
  TRY(events, apply(state_, entry, options_));
  events_.insert(events_.end(), std::make_move_iterator(events.begin()),
                 std::make_move_iterator(events.end()));
  entries_.push_back(std::move(entry));
  return entries_.back().seq;
}

Result<std::uint64_t> Batch::add(journal::Kind kind, ModelCallStartedBody body) {
  TRY(seq, add_text(kind, encode(body)));
  if (body.reserved != 0) reserve_.push_back(reservation_of(state_, seq, body));
  return seq;
}

template <class Body>
Result<std::uint64_t> Batch::add_end(journal::Kind kind, Body body) {
  if (!state_.turn || !state_.turn->model_call)
    return fail(ErrorCode::kInternal, "the end of a model call that does not run");
  body.bill = bill_of(state_, body);
  journal::Settlement settlement = settlement_of(state_, *body.bill, no_answer(body));
  TRY(seq, add_text(kind, encode(body)));
  // Where nothing was asked of a provider there may be nothing to give back either.
  if (settlement.used.calls != 0 || settlement.reserved != 0) {
    if (planted("settle-twice")) settle_.push_back(settlement);
    if (!planted("skip-settlement")) settle_.push_back(std::move(settlement));
  }
  return seq;
}

Result<std::uint64_t> Batch::add(journal::Kind kind, ModelCallFinishedBody body) {
  return add_end(kind, std::move(body));
}

Result<std::uint64_t> Batch::add(journal::Kind kind, ModelCallAbandonedBody body) {
  return add_end(kind, std::move(body));
}

Result<std::uint64_t> Batch::add(journal::Kind kind, CompactionFinishedBody body) {
  return add_end(kind, std::move(body));
}

journal::Append Batch::to_append() const {
  journal::Append append;
  append.key = state_.key;
  append.head = first_head_;
  append.time = now_;
  for (const journal::Entry& entry : entries_) append.entries.push_back({entry.kind, entry.body});
  if (first_head_ == 0) append.workstream = state_.workstream;
  append.open = state_.open();
  append.open_effects = open_effects;
  append.close_effects = close_effects;
  append.set_timers = set_timers;
  append.clear_timers = clear_timers;
  append.finishes_effect = finishes_effect;
  append.settle = settle_;
  append.reserve = reserve_;
  return append;
}

}  // namespace perdure::engine
