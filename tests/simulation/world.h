// A whole run from one seed: clients and misfortunes, with nodes over one modelled database, or
// with one server over a disk of its own, where SQLite is the real one.
//
// One thread runs all loops, one handler at a time, in an order that the seed decides; when nobody
// has anything to do the clock jumps. For the first part of a run misfortunes happen; then all is
// mended, and everything that was begun must come to its end. What must never happen is looked for
// on the way and at the end (checks in client.cc and world.cc):
//
//   - what was acknowledged is read by whoever asks afterwards, through any node
//   - an input is taken exactly once, also where its answer was lost and it was sent again
//   - the model is told one history of a session, whichever node asks it
//   - an opaque effect happens at most once
//   - a stream that is rejoined anywhere gives every durable event once and in order
//   - in the end nothing is owed: no running turn, effect, timer or reservation is left
#pragma once

#include <memory>
#include <vector>

#include "client.h"
#include "database.h"
#include "disk.h"
#include "node.h"
#include "outside.h"

namespace perdure::simulation {

struct Plan {
  std::uint64_t seed = 1;
  bool aloud = false;
  bool embedded = false;  ///< one server over a disk of its own
  int nodes = 2;
  int clients = 4;
  std::int64_t misfortunes_ms = 20'000;  ///< how long they go on
  std::int64_t recovery_ms = 120'000;    ///< in which everything must have come to its end
};

struct Outcome {
  std::vector<std::string> wrongs;
  std::uint64_t digest = 0;
  int model_calls = 0;
  std::size_t acknowledged = 0;  ///< inputs
  int misfortunes = 0;
};

class World final : public Nodes {
 public:
  explicit World(Plan plan);
  ~World();
  Outcome run();

 private:
  bool run_until(const std::function<bool()>& condition, std::int64_t end);
  async::Task<> bring_misfortune();
  void misfortune();
  void misfortune_of_disk();
  void mend();
  bool settled();
  void check();
  /// Whoever uses the disk while it ends dies.
  void notice_end();
  std::string database_path() const { return directory_ + "/perdure.db"; }
  bool disk_settled();
  void say_what_disk_owes();
  void check_disk();
  void print_journals();
  std::unique_ptr<Node> make_node(std::size_t index);
  std::optional<Storage> open_database(Node& node);
  std::optional<Storage> open_disk(Node& node);
  Node* any(Random& random) override;

  Plan plan_;
  Trace trace_;
  Random schedule_, faults_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  Machine database_machine_;
  Database database_;
  Disk disk_;
  std::string directory_;     // of what the disk's processes keep beside the database
  std::int64_t looked_ = -1;  // when `owes` last read the disk
  Outside outside_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Node>> dead_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::uint64_t nodes_made_ = 0;
  int misfortunes_ = 0;
  int ends_ = 0;  // of processes, by their disk
  bool mended_ = false;
};

}  // namespace perdure::simulation
