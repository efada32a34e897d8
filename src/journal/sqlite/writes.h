// The statements that change a store. Each function runs inside the writer's transaction, decides
// by guards before it changes anything (a refusal leaves no trace), and throws DatabaseError when a
// statement fails. They know nothing of threads.
#pragma once

#include <string>
#include <vector>

#include "journal/journal.h"
#include "journal/sqlite/database.h"

namespace perdure::journal::sqlite {

/// What of this opening of the store goes into its writes.
struct StoreIdentity {
  std::uint64_t epoch = 0;
  std::string secret;  ///< 32 bytes, made once with the store

  /// The key under which the project's blobs are hashed: nobody can tell from a hash that another
  /// project stores the same bytes.
  std::string blob_key(const ProjectId& project) const;
};

/// What a receipt is made of.
struct Written {
  std::uint64_t first = 0;
  std::uint64_t head = 0;
  std::uint64_t epoch = 0;
  UnixMillis time = 0;
};

/// An append as the writer does it: large bodies first, then the rest in the group's transaction.
class AppendWork {
 public:
  AppendWork(Append append, const StoreIdentity& identity);
  bool has_large_bodies() const;
  void prepare(Connection& connection);
  Result<Written> operator()(Connection& connection, UnixMillis now, StoreStats& counted);

 private:
  bool head_is_ours(Connection& connection);
  Result<void> move_head(Connection& connection, UnixMillis time, StoreStats& counted);
  void add_entries(Connection& connection, UnixMillis time, StoreStats& counted);
  void change_effects(Connection& connection);
  void change_timers(Connection& connection);
  void add_outbox(Connection& connection);
  void keep_snapshot(Connection& connection);

  Append append_;
  const StoreIdentity& identity_;
  std::vector<std::string> hashes_;  // of the large bodies, by entry; empty for others
};

Result<Written> erase_session(Connection& connection, const StoreIdentity& identity,
                              const SessionKey& key, std::uint64_t head, UnixMillis now,
                              StoreStats& counted);
std::vector<int> begin_recovery(Connection& connection, const std::vector<SessionKey>& keys);
void end_recovery(Connection& connection, const std::vector<SessionKey>& keys);
/// Looks at up to kMaxCollected blobs after `cursor` and moves it; 0 is the start again.
std::size_t collect_garbage(Connection& connection, UnixMillis now, std::int64_t& cursor);
Result<std::uint64_t> put_row(Connection& connection, const Row& row,
                              std::uint64_t expected_version, UnixMillis now);
Result<void> write_rows(Connection& connection, const RowChanges& changes, UnixMillis now);

}  // namespace perdure::journal::sqlite
