// The schema of the PostgreSQL store, as numbered steps: the tables of the embedded one, with the
// types of this database, and `opening`.
//
// A step that was in a release never changes: a change of the schema is a new step at the end. All
// missing steps are taken in one transaction that holds a lock on `schema_version`, so of two nodes
// that start at once one migrates and the other finds it done.
#pragma once

#include "base/env.h"
#include "journal/postgres/connection.h"

namespace perdure::journal::postgres {

/// The newest step this program knows.
int newest_schema();

/// kConflict for a database that a newer program has migrated, which stays untouched, and for one
/// where other tables stand in the way; kPermissionDenied where the role may not create tables.
Result<void> migrate(Connection& connection, UnixMillis now);

}  // namespace perdure::journal::postgres
