// The marks that a migration (migrate/) leaves in a store's table `meta`, and what they say to whom
// opens it. A store with either mark is opened by no server: half of a copy is no store, and what
// is written to a store that has moved would be missing where everybody looks.
//
//   migrating  in the target, from the first commit to the last: it is not complete
//   moved_to   in the source, before the target's mark goes: it is not the truth any more
//
// Values. Who opens a store asks for the marks while nobody else can set one: under the directory's
// lock, or in the transaction that makes the opening.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/env.h"
#include "base/error.h"

namespace perdure::journal {

/// Names of rows in `meta`.
inline constexpr std::string_view kMigrating = "migrating";
inline constexpr std::string_view kMovedTo = "moved_to";

/// The other store of a migration.
struct Mark {
  std::string id;     ///< of the migration: the same in both stores
  std::string store;  ///< the other store's name, without a password
  UnixMillis time = 0;
};

/// JSON text, the value of the row.
std::string to_value(const Mark& mark);
/// A value that is not understood gives a mark without a name: it counts all the same.
Mark mark_of(std::string_view value);

struct Marks {
  std::optional<Mark> migrating;
  std::optional<Mark> moved_to;
};

/// kConflict with a sentence that says what to do, where the store has a mark.
Result<void> refuse_marked(const Marks& marks, std::string_view name);
/// "… was moved to …": the sentence for one of them.
std::string moved_sentence(const Mark& mark, std::string_view name);

}  // namespace perdure::journal
