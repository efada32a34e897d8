// The committed state of a MemoryJournal: plain maps under one mutex. Shared by a store and those
// that reopen it. Every function of the store locks it for a moment and never over a suspension.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "journal/journal.h"
#include "journal/memory/memory_spend.h"

namespace perdure::journal {

struct MemorySession {
  SessionRow row;
  int recoveries = 0;
  std::vector<Entry> entries;  ///< entries[i].seq == i + 1
  std::map<std::uint64_t, Snapshot> snapshots;
  std::map<std::string, EffectRow> effects;
  std::map<std::string, TimerRow> timers;
  std::uint64_t search_through = 0;
  std::string search_agent;
  std::vector<std::pair<std::uint64_t, SearchItem>> search_items;  ///< with ids that grow
};

class MemoryDisk {
 public:
  using RowKey = std::tuple<ProjectId, std::string, std::string>;  // project, kind, id

  std::mutex mutex;  ///< of everything below
  std::uint64_t epoch = 0;
  std::map<SessionKey, MemorySession> sessions;
  std::set<std::tuple<UnixMillis, SessionKey, std::string>> alarms;  ///< the timers, by due time
  std::uint64_t last_outbox_id = 0;
  std::map<std::uint64_t, OutboxRow> outbox;
  std::map<IdempotencyScope, IdempotencyRecord> idempotency;
  std::map<RowKey, Row> rows;
  std::uint64_t last_search_id = 0;
  MemorySpend spend;

  /// Whether the viewer sees what is in this workstream.
  bool may_see(const ProjectId& project, const std::optional<std::string>& workstream,
               const std::optional<Viewer>& viewer) const;
  /// nullptr when there is none or only a tombstone.
  MemorySession* living(const SessionKey& key);
  void set_timer(MemorySession& session, TimerRow timer);
  void clear_timer(MemorySession& session, const std::string& id);
};

}  // namespace perdure::journal
