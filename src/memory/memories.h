// The memory stores of all projects: what outlives a session, with its origin.
//
// The rows of the journal's store are the truth: one for each memory store, one for each record.
// Every write moves the store's row on, in the same transaction and guarded by its version, so
// writes of all processes are one line, and a reader that has seen a version has seen everything up
// to it. The index (store_index.h) follows the rows: each question first reads the store's version
// and takes in what is new, so a record is found as soon as its writing has returned, wherever that
// was. Nothing is lost with the process, and nothing need be repaired: the index is made again.
//
// Owned by the composition root, used on one loop. Of another project: kNotFound, like what never
// was. With an error nothing was written.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/fifo_semaphore.h"
#include "async/task.h"
#include "base/env.h"
#include "base/error.h"
#include "journal/journal.h"
#include "memory/store_index.h"

namespace perdure::memory {

using async::Task;
using journal::Committed;

struct Store {
  std::string name;  ///< is_workstream_id; unique in its project
  std::uint64_t version = 0;
  UnixMillis created = 0;
  std::string description;
  std::string language = "english";       ///< of its stemmer
  std::optional<std::string> workstream;  ///< whose members alone see it
  std::uint64_t records_written = 0;      ///< ever: what numbers them
  std::uint64_t erasures = 0;
  UnixMillis newest = 0;  ///< no record was recorded later
};

struct FoundRecord {
  Record record;
  Hit hit;
};

/// What an erasure did, without a word of what was erased.
struct Receipt {
  std::string id;
  std::string store;
  UnixMillis time = 0;
  std::vector<std::string> hashes;  ///< SHA-256 of each record's id and text
  std::string signature;            ///< HMAC-SHA-256 over `payload`
  std::string payload() const;
};

class Memories {
 public:
  /// Makes the files forget what was deleted from the rows.
  using Scrub = std::function<Task<Result<void>>()>;
  /// `secret` signs receipts.
  Memories(Env& env, async::Executor executor, journal::JournalStore& store, std::string secret,
           Scrub scrub);
  ~Memories();
  Memories(const Memories&) = delete;

  /// kConflict where the name is taken; kInvalidArgument for the language.
  Task<Result<Store>> create(ProjectId project, Store draft);
  Task<Result<Store>> find(ProjectId project, std::string name);
  /// In order of creation.
  Task<Result<std::vector<Store>>> list(ProjectId project);
  /// kConflict unless it has no records: erase them first, which leaves a receipt.
  Task<Result<Committed>> remove(ProjectId project, std::string name);

  /// All or none. Fills in ids and times; `claimed` is who says it. kInvalidArgument as in
  /// check(Record), and for a link (`supersedes`, `sources`) to what is not in the store.
  Task<Result<std::vector<Record>>> add(ProjectId project, std::string name,
                                        std::vector<Record> drafts, Trust claimed);
  Task<Result<Record>> record(ProjectId project, std::string name, std::string id);
  /// In order of recording, the newest first; `after` is an id of the page before.
  Task<Result<std::vector<Record>>> records(ProjectId project, std::string name,
                                            std::optional<std::string> after, std::size_t limit);
  Task<Result<std::vector<FoundRecord>>> search(ProjectId project, std::string name,
                                                Question question);
  /// What an agent in this namespace is told always.
  Task<Result<std::vector<Record>>> standing(ProjectId project, std::string name,
                                             std::string namespace_);

  /// Of one namespace: the ids of those with this pair in their metadata.
  Task<Result<std::vector<std::string>>> with_metadata(ProjectId project, std::string name,
                                                       std::string namespace_, std::string key,
                                                       std::string value);

  /// Erases the selected records and all that was made from them. Erasing nothing is no error.
  Task<Result<Receipt>> erase(ProjectId project, std::string name, Selection selection);
  Task<Result<Receipt>> receipt(ProjectId project, std::string id);
  bool is_genuine(const Receipt& receipt) const;

 private:
  struct State;
  Task<Result<Store>> read_store(ProjectId project, std::string name);
  /// The store's state with everything that was committed before the call. Held by its permit.
  Task<Result<State*>> caught_up(ProjectId project, std::string name);
  Task<Result<void>> take_in(ProjectId project, State* state);
  State* state_of(const ProjectId& project, const std::string& name);
  Task<Result<std::vector<Record>>> read_records(ProjectId project, std::vector<std::string> ids);
  Result<void> check_links(const State& state, const Record& record) const;

  Env& env_;
  async::Executor executor_;
  journal::JournalStore& store_;
  std::string secret_;
  Scrub scrub_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<State>> states_;
};

}  // namespace perdure::memory
