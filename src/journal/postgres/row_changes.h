// Rows of one project that change together, as one statement: the guards look at all of them, then
// everything happens or nothing.
#pragma once

#include "journal/postgres/writes.h"

namespace perdure::journal::postgres {

class WriteRows {
 public:
  WriteRows(RowChanges changes, std::uint64_t epoch)
      : changes_(std::move(changes)), epoch_(epoch) {}
  Statement statement(UnixMillis now) const;
  Result<Written> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  RowChanges changes_;
  std::uint64_t epoch_;
};

}  // namespace perdure::journal::postgres
