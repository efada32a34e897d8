// PostgreSQL, as a model: a serialisable store for many nodes, with the rules of journal/postgres.
//
// What a transaction does is decided in one moment, by the same code that the memory store is made
// of. Around it stands what journal/postgres builds of tables: openings and their ends by the
// database's clock (`renew`), shards and their holders, and for each opening's writer a generation
// and the number and answer of its last commit (`claim`), by which a node finds out what became of
// one whose answer it never saw. Used on the loop of the world outside the nodes; every function is
// one transaction.
#pragma once

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/env.h"
#include "journal/leases.h"
#include "journal/memory/memory_disk.h"
#include "journal/memory/memory_journal.h"

namespace perdure::simulation {

using async::Task;
using journal::JournalStore;

class Database {
 public:
  struct Opening {
    std::string node;
    std::string url;
    std::int64_t until = 0;
    bool superseded = false;
    std::uint64_t generation = 0;  ///< of the writer's connection
    std::uint64_t commits = 0;     ///< the number of the last one
  };

  explicit Database(Env& env) : env_(env), disk_(std::make_shared<journal::MemoryDisk>()) {}

  /// Ends what ran under this name before. Its epoch.
  std::uint64_t open(const std::string& node);
  /// kFenced: it was ended.
  Result<journal::Leases> renew(std::uint64_t epoch, const journal::LeaseRequest& request);
  /// A new connection of the opening's writer: nothing sent over an earlier one commits any more.
  const Opening& claim(std::uint64_t epoch);

  enum class Verdict { kCommitted, kOldConnection, kSuperseded };
  /// The writer's transaction `number`. `work` is called where it commits, and decides itself what
  /// it writes.
  template <class Work>
  Verdict commit(std::uint64_t epoch, std::uint64_t generation, std::uint64_t number, Work work) {
    Opening& opening = openings_.at(epoch);
    if (opening.generation != generation) return Verdict::kOldConnection;
    if (opening.superseded) return Verdict::kSuperseded;
    opening.commits = number;
    work();
    return Verdict::kCommitted;
  }

  /// The store through which the node may write to the session; nullptr: it may not.
  JournalStore* writer(std::uint64_t epoch, const SessionKey& key);
  /// For what belongs to no session, and for reading.
  JournalStore& store(std::uint64_t epoch) { return *stores_.at(epoch); }
  std::uint64_t changes() const { return changes_; }
  void note_change() { ++changes_; }

  /// Runs what the memory store would do in steps as one.
  template <class T>
  T at_once(Task<T> task) {
    std::optional<T> value;
    boost::asio::co_spawn(inner_, keep(std::move(task), &value), boost::asio::detached);
    inner_.restart();
    inner_.run();
    return std::move(*value);
  }

  journal::MemoryDisk& disk() { return *disk_; }

 private:
  struct Shard {
    std::uint64_t holder = 0;
    std::uint64_t epoch = 0;  ///< of what is written while it is held
  };

  template <class T>
  static Task<> keep(Task<T> task, std::optional<T>* value) {
    value->emplace(co_await std::move(task));
  }
  std::uint64_t add_store();
  bool lives(const Opening& opening) const {
    return !opening.superseded && opening.until > env_.monotonic_ms();
  }

  Env& env_;
  boost::asio::io_context inner_;
  std::shared_ptr<journal::MemoryDisk> disk_;
  std::map<std::uint64_t, Opening> openings_;                                // by epoch
  std::map<std::uint64_t, std::unique_ptr<journal::MemoryJournal>> stores_;  // by epoch
  std::array<Shard, journal::kShards> shards_;
  std::uint64_t changes_ = 0;
};

}  // namespace perdure::simulation
