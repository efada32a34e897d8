// The schema of the embedded store, as numbered steps.
//
// A step that was in a release never changes: a change of the schema is a new step at the end. The
// table `schema_version` says which steps a file has seen. docs/formats/journal.md describes the
// tables in prose.
#pragma once

#include "base/env.h"
#include "base/error.h"
#include "journal/sqlite/database.h"

namespace perdure::journal::sqlite {

/// The newest step this program knows.
int newest_schema();

/// Takes every missing step, each in a transaction of its own. A file written by a newer program is
/// kConflict and stays untouched. Throws DatabaseError.
Result<void> migrate(Connection& connection, UnixMillis now);

}  // namespace perdure::journal::sqlite
