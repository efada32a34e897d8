// The statements that change a store.
//
// A write is *one* statement that decides by its own guards and changes all its rows or none: a
// refusal is an answer, never an error, so it costs the other writes of its transaction nothing.
// The answer is a short text, its *outcome*. The transaction keeps the outcomes of its writes in
// order and stores them with its commit, so that they can be read later when the commit's own
// answer was lost. Values and functions without state; they know nothing of connections and
// threads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "journal/journal.h"
#include "journal/postgres/statement.h"

namespace perdure::journal::postgres {

/// What of this opening of the store goes into its writes.
struct StoreIdentity {
  std::uint64_t epoch = 0;
  std::string secret;    ///< 32 bytes, made once with the store
  bool is_node = false;  ///< one of several that write to this store

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

/// An SQL condition: the blob has been in nobody's hands for a while. A body is committed before
/// the append that names it (see Write::prepare), and another node may be between the two.
std::string blob_is_at_rest(const StoreIdentity& identity, std::string_view table);

/// Says to other nodes that rows have changed which they keep in memory: one more part of a
/// statement, in force where the part `done` gave a row.
std::string tell_others(std::string_view done);

/// Ends every outcome in the text that a commit keeps; no outcome has it.
inline constexpr char kOutcomeEnd = ';';

/// `statement` followed by the choice of its outcome, an SQL expression that gives a text.
std::string with_outcome(std::string_view statement, std::string_view outcome);

/// The number that `outcome`, or what is left of one, begins with; else 0.
std::uint64_t number_in(std::string_view outcome);

// Each of these gives the statement, and the answer that an outcome of it means.

class DeleteSession {
 public:
  DeleteSession(SessionKey key, std::uint64_t head, std::uint64_t epoch,
                const StoreIdentity& identity)
      : key_(std::move(key)),
        head_(head),
        epoch_(epoch),
        at_rest_(blob_is_at_rest(identity, "blob")) {}
  Statement statement(UnixMillis now) const;
  Result<Written> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  SessionKey key_;
  std::uint64_t head_, epoch_;
  std::string at_rest_;
};

class BeginRecovery {
 public:
  explicit BeginRecovery(std::vector<SessionKey> keys) : keys_(std::move(keys)) {}
  Statement statement(UnixMillis now) const;
  Result<std::vector<int>> answer(std::string_view outcome, UnixMillis now,
                                  StoreStats& counted) const;

 private:
  std::vector<SessionKey> keys_;
};

class EndRecovery {
 public:
  EndRecovery(std::vector<SessionKey> keys, std::uint64_t epoch)
      : keys_(std::move(keys)), epoch_(epoch) {}
  Statement statement(UnixMillis now) const;
  Result<Written> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  std::vector<SessionKey> keys_;
  std::uint64_t epoch_;
};

class DeleteOutbox {
 public:
  DeleteOutbox(std::uint64_t id, std::uint64_t epoch) : id_(id), epoch_(epoch) {}
  Statement statement(UnixMillis now) const;
  Result<Written> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  std::uint64_t id_, epoch_;
};

/// Where the search for blobs without a name goes on; empty: at the start. The writer's thread has
/// it.
struct GarbageCursor {
  std::string project;
  std::string hash;
};

class CollectGarbage {
 public:
  CollectGarbage(UnixMillis expired, GarbageCursor* cursor, const StoreIdentity& identity)
      : expired_(expired), cursor_(cursor), at_rest_(blob_is_at_rest(identity, "b")) {}
  Statement statement(UnixMillis now) const;
  Result<std::size_t> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  UnixMillis expired_;
  GarbageCursor* cursor_;
  std::string at_rest_;
};

class PutRow {
 public:
  PutRow(Row row, std::uint64_t expected) : row_(std::move(row)), expected_(expected) {}
  Statement statement(UnixMillis now) const;
  Result<std::uint64_t> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  Row row_;
  std::uint64_t expected_;
};

class DeleteRow {
 public:
  DeleteRow(ProjectId project, std::string kind, std::string id, std::uint64_t epoch)
      : project_(std::move(project)), kind_(std::move(kind)), id_(std::move(id)), epoch_(epoch) {}
  Statement statement(UnixMillis now) const;
  Result<Written> answer(std::string_view outcome, UnixMillis now, StoreStats& counted) const;

 private:
  ProjectId project_;
  std::string kind_, id_;
  std::uint64_t epoch_;
};

}  // namespace perdure::journal::postgres
