// The search over earlier sessions: keeps the store's index (journal/search.h) up with the journal,
// and asks it.
//
// Appends know nothing of the index. Each session has a durable position in it; what lies between
// that and its head is indexed from the journal, a moment after the commit (`note`, `run`), and by
// every search before it looks: a search waits until the index has the heads that it met at its
// start, or says that it has not. So nothing is lost with the process, and nothing found is older
// than the question. Owned by the composition root, used on the loop, outlives the engine's calls.
// A project sees its own sessions only; the store enforces that.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/fifo_semaphore.h"
#include "async/signal.h"
#include "base/error.h"
#include "cluster/ownership.h"
#include "engine/search_items.h"
#include "journal/journal.h"

namespace perdure::engine {

using async::Task;

struct SearchQuestion {
  ProjectId project;
  std::string words;
  std::optional<std::string> agent;
  std::optional<std::string> workstream;
  std::optional<SessionId> but;           ///< never this session
  std::optional<journal::Viewer> viewer;  ///< only what it may see; nullopt: everything
  std::optional<std::string> after;       ///< the item id of the last hit of the page before
  std::size_t limit = 20;
};

struct SearchHit {
  std::string session;
  std::string turn;
  std::string item;
  journal::SearchKind kind = journal::SearchKind::kUser;
  std::string agent;
  std::optional<std::string> workstream;
  std::string snippet;
  double score = 0;
  UnixMillis time = 0;
};

struct SearchHits {
  std::vector<SearchHit> data;
  bool has_more = false;
  bool complete = true;  ///< the index had every session as it was when the search began
};

/// A turn read back, in order; `cut`: there is more than was asked for.
struct ReadTurn {
  std::vector<journal::SearchItem> items;
  bool cut = false;
};

class SearchIndex {
 public:
  /// `ownership`: only those sessions are indexed here; none: all of them.
  SearchIndex(async::Executor executor, journal::JournalStore& journal,
              const cluster::Ownership* ownership = nullptr);

  /// kInvalidArgument: no word to look for (`param` "q"), or a cursor that is not in the result
  /// ("after").
  Task<Result<SearchHits>> search(SearchQuestion question);
  /// kNotFound for a session or a turn that is not there.
  Task<Result<ReadTurn>> read_turn(SessionKey key, std::string turn, std::size_t most_bytes);
  /// The workstream of a session; kNotFound.
  Task<Result<std::optional<std::string>>> workstream_of(SessionKey key);
  /// Whether the viewer sees this session; kNotFound where it is not there.
  Task<Result<bool>> may_see(SessionKey key, journal::Viewer viewer);

  /// This session has new entries.
  void note(const SessionKey& key);
  /// Sessions may be behind that nobody noted: after a start, or when others' come to this process.
  void sweep();
  /// Indexes until `drain`.
  Task<> run();
  Task<> drain();

 private:
  Task<Result<void>> sweep_all();
  Task<Result<void>> index_these(std::vector<SessionKey> keys);
  Task<Result<bool>> catch_up(ProjectId project);
  /// Brings these, in key order, up to their heads. What cannot be read is passed over.
  Task<Result<void>> index(std::vector<journal::SearchLag> behind);
  Task<Result<journal::SearchUpdate>> read_update(journal::SearchLag lag);
  Task<Result<void>> learn_calls(SearchReader* reader, SessionKey key,
                                 const std::vector<journal::Entry>* entries);

  journal::JournalStore& journal_;
  const cluster::Ownership* ownership_;
  async::FifoSemaphore indexing_;  ///< two would read the same entries
  std::set<SessionKey> noted_;
  std::set<SessionKey> unreadable_;  ///< their logs are damaged
  async::Signal wake_;
  bool sweep_ = true;
  bool running_ = false;
  bool ending_ = false;
};

}  // namespace perdure::engine
