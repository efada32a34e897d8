// Opening the file of an embedded store: schema, identity, epoch.
#pragma once

#include <memory>
#include <string>

#include "base/env.h"
#include "journal/marks.h"
#include "journal/sqlite/data_directory.h"
#include "journal/sqlite/database.h"
#include "journal/sqlite/writes.h"

namespace perdure::journal::sqlite {

struct OpenedStore {
  std::unique_ptr<Connection> connection;  ///< the writer's
  StoreIdentity identity;
  bool disk_full = false;  ///< opened on a full disk, with the help of the reserve
};

/// Brings the schema up to date and raises the epoch, durably. kConflict for a store with a mark
/// (journal/marks.h).
Result<OpenedStore> open_store(DataDirectory& directory, const std::string& vfs, Env& env);

/// The database alone, configured and with its schema up to date: for who copies it, marked or not.
/// The directory's lock is what keeps others out.
Result<std::unique_ptr<Connection>> open_exclusively(DataDirectory& directory,
                                                     const std::string& vfs, UnixMillis now);
Marks read_marks(Connection& connection);
/// "the store in /data", for sentences.
std::string name_of(const DataDirectory& directory);

}  // namespace perdure::journal::sqlite
