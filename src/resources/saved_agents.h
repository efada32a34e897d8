// Saved agents: reusable definitions with immutable versions.
//
// A definition is what a client wrote, member by member as JSON text; what the members mean is the
// door's business, and a session pins what it read of them, so that a later version or a deletion
// changes no session. Every write makes the next version; earlier ones stay readable until the
// agent is deleted. Two updates at once both count: the later one is made again from what the
// earlier one left.
//
// Rows of the caller's project (docs/formats/journal.md), written together in one transaction.
// Owned by the composition root, used on one loop. A call that returns a receipt is durable; with
// an error nothing was changed. An agent of another project is kNotFound, like one that never was.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/env.h"
#include "base/error.h"
#include "journal/journal.h"

namespace perdure::resources {

using async::Task;
using journal::Committed;

struct AgentDefinition {
  std::optional<std::string> name;
  std::map<std::string, std::string> metadata;
  /// The configuration's members: JSON text by name, byte for byte as it was written. What is not
  /// there has its default.
  std::map<std::string, std::string> settings;
};

struct SavedAgent {
  std::string id;             ///< "agent_" and 24 characters
  std::uint64_t version = 1;  ///< from 1, without gaps
  UnixMillis created = 0;     ///< of the agent
  UnixMillis updated = 0;     ///< of this version; never before its predecessor's
  AgentDefinition definition;
};

struct WrittenAgent {
  Committed receipt;
  SavedAgent agent;
};

struct AgentPage {
  std::optional<std::string> after;  ///< an agent's id, exclusive
  std::size_t limit = 20;
  bool ascending = false;
};

struct VersionPage {
  std::optional<std::uint64_t> after;  ///< exclusive
  std::size_t limit = 20;
  bool ascending = false;
};

struct AgentList {
  std::vector<SavedAgent> data;
  bool has_more = false;
};

class SavedAgents {
 public:
  SavedAgents(Env& env, journal::JournalStore& store) : env_(env), store_(store) {}

  /// The next definition, from the newest one; an error ends the update. May be called repeatedly.
  using Change = std::function<Result<AgentDefinition>(const SavedAgent&)>;
  /// What to keep with the write for a repeated request, from what will be true after it.
  using KeepAnswer = std::function<std::optional<journal::IdempotencyRecord>(const SavedAgent&)>;

  Task<Result<WrittenAgent>> create(ProjectId project, AgentDefinition definition,
                                    KeepAnswer keep_answer = {});
  /// kConflict where others were faster kUpdateAttempts times.
  Task<Result<WrittenAgent>> update(ProjectId project, std::string id, Change change,
                                    KeepAnswer keep_answer = {});
  /// The agent and all its versions. Deleting again succeeds; kNotFound for what never was.
  Task<Result<Committed>> remove(ProjectId project, std::string id);

  /// The newest version where none is named.
  Task<Result<SavedAgent>> find(ProjectId project, std::string id,
                                std::optional<std::uint64_t> version = {});
  /// In order of creation, then id; each in its newest version. kNotFound for an unknown `after`.
  Task<Result<AgentList>> list(ProjectId project, AgentPage page);
  /// One agent's, in order. kNotFound for an unknown agent; with param "after" for a version that
  /// is not there.
  Task<Result<AgentList>> versions(ProjectId project, std::string id, VersionPage page);

 private:
  Task<Result<WrittenAgent>> write(ProjectId project, SavedAgent agent, KeepAnswer keep_answer);

  Env& env_;
  journal::JournalStore& store_;
};

}  // namespace perdure::resources
