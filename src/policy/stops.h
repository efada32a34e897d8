// The kill switch: what an operator has stopped, and the policy that keeps it stopped.
//
// A stop names a session, an agent, a workstream or a project. While it is in force no model call
// and no tool of its scope begins. Rows of kind "stop" keep it over restarts (of the project
// "$system", with the project as parent); lifting keeps the row, because somebody will ask who that
// was. Owned by the composition root, used on one loop, loaded before anything is recovered.
//
// Why no call can begin after a stop is durable: `add` marks the scope in memory *before* it writes
// the row, and the mark stays until the stop was lifted in the store. Everything runs on one loop,
// and whoever starts a call asks `find` in the same step that starts it, after the intent's commit.
// So a call whose intent was being written when the stop came is not started, and one that was
// started earlier is what the engine cancels when `add` returns. Where the row cannot be written
// the mark goes again: the engine then starts what it had held back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "async/fifo_semaphore.h"
#include "base/env.h"
#include "base/error.h"
#include "journal/journal.h"
#include "policy/policy.h"

namespace perdure::policy {

using async::Task;

enum class StopScope { kSession, kAgent, kWorkstream, kProject };

/// "session", "agent", "workstream", "project": as stored, and on the wire.
std::string_view to_string(StopScope scope);
/// nullopt for any other word.
std::optional<StopScope> parse_stop_scope(std::string_view word);

/// What somebody wants stopped.
struct StopOrder {
  ProjectId project;  ///< whose session, agent or workstream it is
  StopScope scope = StopScope::kSession;
  std::string target;  ///< its id; of a project its name
  std::string reason;
  std::string by;            ///< principal
  bool by_operator = false;  ///< then only the operator lifts it
};

struct Stop {
  std::string id;  ///< "stop_" and 24 characters
  StopOrder order;
  UnixMillis created = 0;
  std::optional<UnixMillis> lifted;
  std::string lifted_by;

  /// "Stopped by an operator: <reason>.": why a turn ended.
  std::string sentence() const;
  /// Why a request is refused, and who can change that.
  Error refusal() const;
};

/// What is asked about. All of it belongs to one project.
struct StopSubject {
  const SessionKey& session;
  std::string_view agent;
  const std::optional<std::string>& workstream;
};

class Stops {
 public:
  Stops(Env& env, async::Executor executor, journal::JournalStore& store)
      : env_(env), store_(store), writing_(std::move(executor), 1) {}

  /// Reads what is in force. Once, before use.
  Task<Result<void>> load();
  /// Reads it again, because another process has changed it. Gives the stops that are new here.
  Task<Result<std::vector<Stop>>> reload();

  /// Durable and in force when it returns; one that is there already is given back unchanged.
  /// kInvalidArgument names the member; kUnavailable: the store refuses, and nothing is stopped.
  Task<Result<Stop>> add(StopOrder order);
  /// Lifted and durable when it returns; lifting again changes nothing. `project` nullopt: of any.
  /// kNotFound; kPermissionDenied where only the operator may.
  Task<Result<Stop>> lift(std::optional<ProjectId> project, std::string id, std::string by,
                          bool by_operator);

  struct Page {
    std::vector<Stop> data;
    bool has_more = false;
  };
  /// Oldest first; `after` is a stop's id, exclusive. `project` nullopt: of all.
  Task<Result<Page>> list(std::optional<ProjectId> project, bool with_lifted,
                          std::optional<std::string> after, std::size_t limit);

  /// What stops the subject; nullptr: nothing does. At most four look-ups, whatever is in force.
  /// Valid until something is added or lifted.
  const Stop* find(const StopSubject& subject) const;
  /// Of what is in force: for sweeping after a start.
  std::vector<Stop> in_force() const;
  std::size_t count() const { return count_; }

 private:
  const Stop* find(StopScope scope, const ProjectId& project, std::string_view target) const;
  Task<Result<std::vector<Stop>>> read_in_force();
  void mark(Stop stop);
  void unmark(const Stop& stop);

  Env& env_;
  journal::JournalStore& store_;
  async::FifoSemaphore writing_;  ///< one change at a time, across its write
  /// By project, scope and target: one of the project's own, one of the operator's.
  std::unordered_map<std::string, std::vector<Stop>> marks_;
  std::size_t count_ = 0;
};

/// Asks the stops first and then whoever decides otherwise.
class StoppedPolicy final : public Policy {
 public:
  StoppedPolicy(const Stops& stops, Policy& inner) : stops_(stops), inner_(inner) {}
  /// kDeny by the rule "stop:<scope>" for what is stopped.
  Decision decide(const Action& action) override;

 private:
  const Stops& stops_;
  Policy& inner_;
};

}  // namespace perdure::policy
