// The tables `reservation`, `usage` and `budget` of a store. Functions that write run inside the
// writer's transaction; like all statements here they throw DatabaseError and know nothing of
// threads.
#pragma once

#include <vector>

#include "journal/journal.h"
#include "journal/sqlite/database.h"

namespace perdure::journal::sqlite {

/// What an append makes of the budgets that cover its calls. Decided before anything is written.
Result<std::vector<Budget>> charged_budgets(Connection& connection, const Append& append,
                                            UnixMillis time);
/// Writes an append's settlements and reservations, and the budgets as decided.
void write_spend(Connection& connection, const Append& append, const std::vector<Budget>& budgets,
                 UnixMillis time);

/// Settles what a session to be erased still has reserved, and takes its id out of the sums.
void forget_session_spend(Connection& connection, const SessionKey& key, UnixMillis now);

Result<Budget> put_budget(Connection& connection, Budget budget, UnixMillis now);
std::vector<Budget> budgets(Connection& connection, const ProjectId& project);
std::vector<UsageRow> usage(Connection& connection, const UsageQuery& query);
std::vector<Reservation> reservations(Connection& connection, const SessionKey& key);

}  // namespace perdure::journal::sqlite
