// Opening the database of a store: what it must promise, its schema, the epoch; and taking hold of
// it again after a connection was lost.
//
// Each opening has a row in `opening`. Its `generation` counts the writer's connections: a commit
// carries the generation of its connection and its own number, and is refused by the database where
// the row has another. So once `claim` has returned, nothing sent over an earlier connection can
// commit any more, and the row says whether the last commit did, and how its writes came out.
#pragma once

#include <memory>
#include <string>

#include "base/env.h"
#include "journal/postgres/connection.h"
#include "journal/postgres/writes.h"

namespace perdure::journal::postgres {

/// What an acknowledgement means.
enum class Durability {
  kFull,        ///< flushed, here and on synchronous standbys; anything weaker is refused
  kAsDatabase,  ///< whatever the database is set to: named by the operator
};

/// What the database says about our last group of writes.
struct Claim {
  std::uint64_t generation = 0;
  std::uint64_t groups = 0;  ///< the number of the last committed group
  std::string outcomes;      ///< of its writes
  bool superseded = false;   ///< a later opening has taken the database over
  std::string weakness;      ///< the settings that make commits weaker; empty: none
};

struct OpenedStore {
  std::unique_ptr<Connection> connection;  ///< the writer's
  StoreIdentity identity;
};

/// Brings the schema up to date and raises the epoch, durably. Whatever an earlier opening still
/// writes is refused from then on.
Result<OpenedStore> open_store(const Target& target, Interrupt& interrupt, Durability durability,
                               Env& env);

/// A value is certain. nullopt: the database does not know this opening.
Outcome<std::optional<Claim>> claim(Connection& connection, std::uint64_t epoch);

/// The condition, in SQL, under which a commit may be acknowledged.
std::string_view strength_condition(Durability durability);
/// "synchronous_commit is off": what `weakness` means, for a person.
std::string weak_sentence(std::string_view weakness);

}  // namespace perdure::journal::postgres
