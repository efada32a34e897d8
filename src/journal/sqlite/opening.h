// Opening the file of an embedded store: schema, identity, epoch.
#pragma once

#include <memory>
#include <string>

#include "base/env.h"
#include "journal/sqlite/data_directory.h"
#include "journal/sqlite/database.h"
#include "journal/sqlite/writes.h"

namespace perdure::journal::sqlite {

struct OpenedStore {
  std::unique_ptr<Connection> connection;  ///< the writer's
  StoreIdentity identity;
  bool disk_full = false;  ///< opened on a full disk, with the help of the reserve
};

/// Brings the schema up to date and raises the epoch, durably.
Result<OpenedStore> open_store(DataDirectory& directory, const std::string& vfs, Env& env);

}  // namespace perdure::journal::sqlite
