// An append as one statement: the guards (the kept answer, budgets, head and epoch), and everything
// that commits with the entries, which happens where both passed. Bodies above kBlobThreshold go to
// the blob table first, in a transaction of their own.
#pragma once

#include <string>
#include <vector>

#include "journal/postgres/spend_tables.h"
#include "journal/postgres/writes.h"

namespace perdure::journal::postgres {

class AppendStatement {
 public:
  /// `epoch`: that of our hold on the session's shard. `first_outbox_id`: the ids of its outbox
  /// rows begin here.
  AppendStatement(Append append, const StoreIdentity& identity, std::uint64_t epoch,
                  std::uint64_t first_outbox_id);

  /// The statements that store the large bodies; none where there are none.
  std::vector<Statement> blobs();
  Statement statement(UnixMillis now) const;
  Result<Written> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  struct Parts;  // the statement while it is put together

  void move_head(Parts& parts) const;
  std::string head_is_ours(Parts& parts) const;
  void add_entries(Parts& parts) const;
  void change_effects(Parts& parts) const;
  void change_timers(Parts& parts) const;
  void add_outbox(Parts& parts) const;
  void move_money(Parts& parts) const;
  void keep_answer(Parts& parts) const;
  void keep_snapshot(Parts& parts) const;
  bool is_creation() const { return append_.head == 0; }
  std::uint64_t new_head() const { return append_.head + append_.entries.size(); }

  Append append_;
  std::uint64_t epoch_;
  std::string blob_key_;
  std::uint64_t first_outbox_id_;
  std::vector<std::string> hashes_;  // of the large bodies, by entry; empty for others
};

}  // namespace perdure::journal::postgres
