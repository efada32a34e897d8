// Moving a store: everything of one copied into another, empty one, and the first marked as moved.
//
// The order of the commits is what makes it safe (journal/marks.h):
//
//   1  the target is marked as half copied and emptied of what an earlier attempt left
//   2  its tables are filled, chunk by chunk, and compared with the source's
//   3  the source is marked as moved
//   4  the target's mark goes, and it is a store
//
// Dying anywhere leaves the source complete. Before 3 it is as it was; from 3 to 4 no server opens
// either store; so a complete target never stands beside a source that a server goes on writing to,
// but where that was asked for (`keep_source`, which leaves 3 out). In every case the same
// migration again starts over and ends well: the marks of one migration know each other by an id.
//
// Memory is bounded by a chunk (limits.h). Blocking; one thread, but a Cancellation is raised from
// any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "journal/journal.h"
#include "journal/migrate/store.h"
#include "journal/postgres/connection.h"

namespace perdure::journal::migrate {

/// How a person ends a migration before its end.
class Cancellation {
 public:
  void raise() {
    raised_ = true;
    interrupt_.raise();
  }
  bool raised() const { return raised_; }
  postgres::Interrupt& interrupt() { return interrupt_; }

 private:
  std::atomic<bool> raised_ = false;
  postgres::Interrupt interrupt_;  // ends a wait for a database
};

/// Where a store is: in a directory or, where that is empty, behind a URL.
struct Place {
  std::string directory;
  std::string url;
  bool durability_of_database = false;  ///< as in PostgresJournal::Settings
  std::string vfs;                      ///< as in SqliteJournal::Settings
};

/// kNotFound: the source is not there. Else as the store's own `open` would say. Holds the store
/// until it is destroyed; `cancellation` outlives it.
Result<std::unique_ptr<Store>> open_source(const Place& place, Cancellation& cancellation,
                                           Env& env);
/// Makes what is missing, as a server's start would.
Result<std::unique_ptr<Store>> open_target(const Place& place, Cancellation& cancellation,
                                           Env& env);

struct Progress {
  std::string_view step;   ///< "copied" or "compared"
  std::string_view table;  ///< of it …
  std::uint64_t rows = 0;  ///< … so far
  std::uint64_t bytes = 0;
};

struct Options {
  bool keep_source = false;
  /// Rows of resources that every server makes at its start: a target with these alone is empty.
  std::vector<RowName> made_by_opening;
  std::function<void(const Progress&)> progress;
};

struct TableSummary {
  std::string name;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::string digest;  ///< SHA-256 over all records in the order of their key; in hex
  bool operator==(const TableSummary&) const = default;
};

struct Summary {
  std::string from;
  std::string to;
  bool kept_source = false;
  std::vector<TableSummary> tables;  ///< read back from both sides, and equal
};

/// The same for equal content, whatever the engine.
Result<std::vector<TableSummary>> summarise(Store& store, const std::vector<Table>& tables,
                                            const Options& options,
                                            const Cancellation& cancellation);

/// kConflict: the target is not empty, or a store is marked. kCancelled. An error from after the
/// first commit says what state the stores are in.
Result<Summary> move(Store& from, Store& to, const Options& options,
                     const Cancellation& cancellation, Env& env);

}  // namespace perdure::journal::migrate
