#include "journal/append_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "journal/limits.h"

namespace perdure::journal {
namespace {

Result<void> check_key(const SessionKey& key) {
  if (key.project.value.empty() || key.session.value.empty())
    return fail(ErrorCode::kInvalidArgument, "An append names its project and its session.");
  return {};
}

Result<void> check_record(const IdempotencyRecord& record, const ProjectId& project) {
  if (record.scope.project != project)
    return fail(ErrorCode::kInvalidArgument,
                "An idempotency record belongs to the project of its append.");
  if (record.scope.key.empty() || record.scope.key.size() > kMaxIdempotencyKey)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("An idempotency key has 1 to {} bytes.", kMaxIdempotencyKey));
  if (record.body.size() > kMaxStoredAnswer)
    return fail(ErrorCode::kTooLarge,
                fmt::format("The answer kept for an idempotency key has at most {} bytes.",
                            kMaxStoredAnswer));
  return {};
}

}  // namespace

Result<void> check(const Append& append) {
  TRY_VOID(check_key(append.key));
  if (append.head == 0 && append.entries.empty())
    return fail(ErrorCode::kInvalidArgument, "The append that creates a session has an entry.");
  if (append.entries.size() > kMaxEntriesPerAppend)
    return fail(ErrorCode::kTooLarge, fmt::format("An append has at most {} entries, this one {}.",
                                                  kMaxEntriesPerAppend, append.entries.size()));
  for (const EntryDraft& entry : append.entries) {
    if (entry.body.size() > kMaxEntryBytes)
      return fail(ErrorCode::kTooLarge, fmt::format("An entry has at most {} bytes, this one {}.",
                                                    kMaxEntryBytes, entry.body.size()));
  }
  if (append.snapshot && (append.snapshot->seq != append.head || append.head == 0))
    return fail(ErrorCode::kInvalidArgument,
                "A snapshot is of the state before its append: its seq is the append's head.");
  for (const EffectRow& effect : append.open_effects) {
    if (effect.intent_seq > append.head + append.entries.size() ||
        (effect.intent_seq == 0 && append.entries.empty()))
      return fail(ErrorCode::kInvalidArgument, "An open effect points at an entry that exists.");
  }
  for (const Reservation& reservation : append.reserve)
    if (reservation.amount < 0 || reservation.call <= append.head ||
        reservation.call > append.head + append.entries.size())
      return fail(ErrorCode::kInvalidArgument,
                  "A reservation is for a call whose intent is in the append.");
  for (const Settlement& settlement : append.settle)
    if (settlement.reserved < 0 || settlement.used.cost < 0 || settlement.used.input < 0 ||
        settlement.used.output < 0)
      return fail(ErrorCode::kInvalidArgument, "A settlement has no negative amounts.");
  if (append.idempotency) return check_record(*append.idempotency, append.key.project);
  return {};
}

Result<void> check(const Budget& budget) {
  if (budget.project.value.empty() || budget.id.empty() || budget.limit < 0)
    return fail(ErrorCode::kInvalidArgument,
                "A budget has a project, the id of what it limits, and no negative limit.");
  if (budget.scope == BudgetScope::kProject && budget.id != budget.project.value)
    return fail(ErrorCode::kInvalidArgument, "A project's budget has the project's name as id.");
  return {};
}

Result<void> check(const std::vector<SearchUpdate>& updates) {
  std::size_t items = 0;
  for (std::size_t i = 0; i < updates.size(); ++i) {
    const SearchUpdate& update = updates[i];
    items += update.items.size();
    if (update.through <= update.from || (i > 0 && !(updates[i - 1].key < update.key)))
      return fail(ErrorCode::kInvalidArgument,
                  "Updates of the search index go forward, in the order of their sessions.");
    for (const SearchItem& item : update.items)
      if (item.text.size() > kMaxSearchText || item.text.find('\0') != std::string::npos)
        return fail(ErrorCode::kInvalidArgument, "An item is too long for the search index.");
  }
  if (updates.size() > kMaxSearchUpdates || items > kMaxSearchItems)
    return fail(ErrorCode::kTooLarge, "One write to the search index is bounded.");
  return {};
}

Result<void> check(const SearchQuery& query) {
  if (query.terms.empty() || query.terms.size() > kMaxSearchTerms)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("A search has 1 to {} words.", kMaxSearchTerms));
  return {};
}

Result<void> check(const Row& row) {
  if (row.project.value.empty() || row.kind.empty() || row.id.empty())
    return fail(ErrorCode::kInvalidArgument, "A row has a project, a kind and an id.");
  if (row.body.size() > kMaxEntryBytes)
    return fail(ErrorCode::kTooLarge, fmt::format("A row has at most {} bytes, this one {}.",
                                                  kMaxEntryBytes, row.body.size()));
  return {};
}

Result<void> check(const RowChanges& changes) {
  for (const RowPut& put : changes.puts) {
    TRY_VOID(check(put.row));
    if (put.row.project != changes.project)
      return fail(ErrorCode::kInvalidArgument, "Rows that change together are of one project.");
  }
  if (changes.idempotency) return check_record(*changes.idempotency, changes.project);
  return {};
}

std::unexpected<Error> fenced(const SessionKey& key) {
  return fail(ErrorCode::kFenced,
              fmt::format("Another writer moved session {} on.", key.session.value));
}

std::unexpected<Error> already_exists(const SessionKey& key) {
  return fail(ErrorCode::kFenced, fmt::format("Session {} exists already.", key.session.value), {},
              "exists");
}

std::unexpected<Error> no_such_session(const SessionKey& key) {
  return fail(ErrorCode::kNotFound, fmt::format("There is no session {}.", key.session.value));
}

std::unexpected<Error> key_in_use(const IdempotencyScope& scope) {
  return fail(ErrorCode::kConflict,
              fmt::format("The idempotency key {} was used before.", scope.key), {},
              "idempotency_key_used");
}

std::unexpected<Error> queue_full(const ProjectId& project) {
  return fail(ErrorCode::kRateLimited, fmt::format("{} writes of project {} are waiting already.",
                                                   kMaxQueuedPerProject, project.value));
}

std::unexpected<Error> no_such_row(std::string_view kind, std::string_view id) {
  return fail(ErrorCode::kNotFound, fmt::format("There is no {} {}.", kind, id));
}

std::unexpected<Error> wrong_version(std::string_view kind, std::string_view id,
                                     std::uint64_t current) {
  return fail(ErrorCode::kConflict,
              current == 0 ? fmt::format("{} {} does not exist any more.", kind, id)
                           : fmt::format("{} {} is at version {}.", kind, id, current));
}

std::unexpected<Error> no_such_budget(BudgetScope scope, std::string_view id) {
  return fail(ErrorCode::kNotFound,
              fmt::format("There is no budget of {} '{}'.", to_string(scope), id));
}

std::unexpected<Error> too_many_budgets() {
  return fail(ErrorCode::kTooLarge, fmt::format("A project has at most {} budgets.", kMaxBudgets));
}

std::unexpected<Error> over_budget(BudgetScope scope, std::string_view id) {
  return fail(ErrorCode::kUnavailable,
              fmt::format("The budget of {} '{}' was used up or changed meanwhile; try again.",
                          to_string(scope), id),
              {}, "budget");
}

std::unexpected<Error> bad_cursor(std::string_view id) {
  return fail(ErrorCode::kNotFound,
              fmt::format("There is nothing with the id {} to go on after.", id), "after");
}

}  // namespace perdure::journal
