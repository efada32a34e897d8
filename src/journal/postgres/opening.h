// Opening the database of a store: what it must promise, its schema, the epoch; and taking hold of
// it again after a connection was lost.
//
// Opened as a node it is one of many; else the opening has the database for itself, and all others
// are ended.
//
// Each opening has a row in `opening`. Its `generation` counts the writer's connections: a commit
// carries the generation of its connection and its own number, and is refused by the database where
// the row has another. So once `claim` has returned, nothing sent over an earlier connection can
// commit any more, and the row says whether the last commit did, and how its writes came out.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/env.h"
#include "journal/marks.h"
#include "journal/postgres/connection.h"
#include "journal/postgres/writes.h"

namespace perdure::journal::postgres {

/// What an acknowledgement means.
enum class Durability {
  kFull,        ///< flushed, here and on synchronous standbys; anything weaker is refused
  kAsDatabase,  ///< whatever the database is set to: named by the operator
};

/// One of many servers that write to the database.
struct NodeIdentity {
  std::string id;  ///< the same after a restart, which ends what ran under it before
};

/// What the database says about our last group of writes.
struct Claim {
  std::uint64_t generation = 0;
  std::uint64_t groups = 0;  ///< the number of the last committed group
  std::string outcomes;      ///< of its writes
  bool superseded = false;   ///< ended by another opening
  std::string weakness;      ///< the settings that make commits weaker; empty: none
};

struct OpenedStore {
  std::unique_ptr<Connection> connection;  ///< the writer's
  StoreIdentity identity;
};

/// Brings the schema up to date and raises the epoch, durably. What an opening that this one ends
/// still writes is refused from then on. `node` nullopt: it has the database, and every shard, for
/// itself. kConflict for a store with a mark (journal/marks.h): then nothing is raised or
/// superseded.
Result<OpenedStore> open_store(const Target& target, Interrupt& interrupt, Durability durability,
                               const std::optional<NodeIdentity>& node, Env& env);

// For who copies a store, marked or not.

/// A connection to a database whose schema is up to date; nothing is superseded. With `must_exist`
/// kNotFound for a database that holds no store, which is left as it is.
Result<std::unique_ptr<Connection>> open_database(const Target& target, Interrupt& interrupt,
                                                  Durability durability, bool must_exist,
                                                  UnixMillis now);
/// Takes the store: an opening like a server's. Its epoch.
Result<std::uint64_t> open_exclusively(Connection& connection, Env& env);
/// Fails its transaction (22012) unless the opening still has the database and a commit counts.
/// Whoever opens the store next waits for the transaction's end.
Statement still_held(std::uint64_t epoch, Durability durability);
Result<Marks> read_marks(Connection& connection);

/// A value is certain. nullopt: the database does not know this opening.
Outcome<std::optional<Claim>> claim(Connection& connection, std::uint64_t epoch);

/// An SQL expression: until when a node lives that says so now.
std::string lease_end();
/// The condition, in SQL, under which a commit may be acknowledged.
std::string_view strength_condition(Durability durability);
/// "synchronous_commit is off": what `weakness` means, for a person.
std::string weak_sentence(std::string_view weakness);

}  // namespace perdure::journal::postgres
