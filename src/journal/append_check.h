// What every store demands of an append before it looks at any state: limits and shape. Kept in one
// place so that the stores refuse the same things with the same sentences.
#pragma once

#include "base/error.h"
#include "journal/journal.h"

namespace perdure::journal {

/// kInvalidArgument for a malformed append, kTooLarge for one over a limit of limits.h.
Result<void> check(const Append& append);
Result<void> check(const Row& row);
Result<void> check(const RowChanges& changes);
Result<void> check(const Budget& budget);
Result<void> check(const std::vector<SearchUpdate>& updates);
Result<void> check(const SearchQuery& query);

// The refusals that every store words the same.
std::unexpected<Error> fenced(const SessionKey& key);
std::unexpected<Error> already_exists(const SessionKey& key);
std::unexpected<Error> no_such_session(const SessionKey& key);
std::unexpected<Error> key_in_use(const IdempotencyScope& scope);
std::unexpected<Error> queue_full(const ProjectId& project);
std::unexpected<Error> no_such_row(std::string_view kind, std::string_view id);
std::unexpected<Error> wrong_version(std::string_view kind, std::string_view id,
                                     std::uint64_t current);
std::unexpected<Error> no_such_budget(BudgetScope scope, std::string_view id);
std::unexpected<Error> too_many_budgets();
/// A reservation does not fit.
std::unexpected<Error> over_budget(BudgetScope scope, std::string_view id);
/// A list's `after` that names nothing in this project.
std::unexpected<Error> bad_cursor(std::string_view id);

}  // namespace perdure::journal
