// Workstreams: long pieces of work inside a project, with members, agents and a name.
//
// A workstream without members is open: everybody in its project sees it and may change it, and so
// is one that sessions name but that has no row. With members it is closed: only they see it and
// its sessions, each as their role allows. One row holds all of it; for each member and agent there
// is a small row beside it, written in the same transaction, so that stores can ask "may this
// caller see that session?" inside a query (journal/viewer.h), and an agent is in one workstream at
// most. Nothing is cached: another process may change it.
//
// Owned by the composition root, used on one loop. A call that returns a receipt is durable; with
// an error nothing was changed. Of another project: kNotFound, like what never was.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/env.h"
#include "base/error.h"
#include "journal/journal.h"

namespace perdure::resources {

using async::Task;
using journal::Committed;

enum class Role { kViewer, kMember, kOwner };
/// "viewer", "member", "owner": as stored, and on the wire.
std::string_view to_string(Role role);
std::optional<Role> parse_role(std::string_view word);

/// What somebody may do in a workstream; each includes those before it.
enum class Access {
  kNone,    ///< does not see it: it looks as if it was not there
  kRead,    ///< reads its sessions
  kWork,    ///< also makes sessions in it, sends them input and deletes them
  kManage,  ///< also changes it, its members and its budget
};

/// Who asks, by their principal; nullopt is the operator, who may do everything.
using Asker = std::optional<std::string>;

struct Workstream {
  std::string name;           ///< is_workstream_id; unique in its project
  std::uint64_t version = 1;  ///< each change adds one
  UnixMillis created = 0;
  UnixMillis updated = 0;
  std::string description;
  std::map<std::string, std::string> metadata;
  std::vector<std::string> agents;  ///< ids of saved agents; each in one workstream at most
  bool archived = false;            ///< takes no new sessions
  bool deleted = false;             ///< its row only says that it was there
  std::map<std::string, Role> members;

  bool closed() const { return !members.empty(); }
  bool has_owner() const;
  Access access_of(const Asker& asker) const;
};

struct WrittenWorkstream {
  Committed receipt;
  Workstream workstream;
};

struct WorkstreamPage {
  std::optional<std::string> after;  ///< a workstream's name, exclusive
  std::size_t limit = 20;
  bool ascending = false;
  bool with_archived = false;
};

struct WorkstreamList {
  std::vector<Workstream> data;
  bool has_more = false;
};

class Workstreams {
 public:
  Workstreams(Env& env, journal::JournalStore& store) : env_(env), store_(store) {}

  /// The next state, from the newest one; an error ends the change. May be called repeatedly.
  using Change = std::function<Result<Workstream>(const Workstream&)>;

  /// kConflict where the name is taken. For this and `change`: kInvalidArgument for too many or
  /// twice the same; kConflict, param "members", where members are left without an owner;
  /// kConflict, param "agents", for an agent of another workstream.
  Task<Result<WrittenWorkstream>> create(ProjectId project, Workstream draft);
  Task<Result<WrittenWorkstream>> change(ProjectId project, std::string name, Change change);
  /// kConflict unless it is archived and has no session. `change` says whether it may be: what it
  /// returns is not written.
  Task<Result<Committed>> remove(ProjectId project, std::string name, Change allowed);
  /// Makes it, open, where there is none of this name.
  Task<Result<void>> ensure(ProjectId project, std::string name);

  Task<Result<Workstream>> find(ProjectId project, std::string name);
  /// In order of creation, then name: what the asker sees. kNotFound for an `after` it does not.
  Task<Result<WorkstreamList>> list(ProjectId project, WorkstreamPage page, Asker asker);

  /// The names of those that the asker does not see.
  Task<Result<std::set<std::string>>> hidden_from(ProjectId project, Asker asker);

  /// What the asker may do in what has no workstream, or is in this one.
  Task<Result<Access>> access(ProjectId project, std::optional<std::string> name, Asker asker);
  /// The same of a session; deleted ones count. kNotFound where there is none.
  Task<Result<Access>> access_to_session(SessionKey key, Asker asker);
  /// The workstream that this saved agent belongs to.
  Task<Result<std::optional<std::string>>> of_agent(ProjectId project, std::string agent);

 private:
  /// Its row, also when it was deleted.
  Task<Result<Workstream>> read(ProjectId project, std::string name);
  Task<Result<WrittenWorkstream>> write(ProjectId project, Workstream before, Workstream next);
  Task<Result<void>> check(ProjectId project, Workstream next);

  Env& env_;
  journal::JournalStore& store_;
};

}  // namespace perdure::resources
