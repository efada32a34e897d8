// Projects and the API keys that open them.
//
// Both are resource rows of the reserved project "$system". A key reads `pdk_<id>_<secret>`: the id
// finds its row, the secret has 160 random bits. Only the SHA-256 of the whole text is stored (with
// that much entropy a slow hash would protect nothing more), so a key is shown once, when it is
// made. Revoking keeps the row: journals name the key as a principal, and somebody will ask who
// that was.
//
// Owned by the composition root, used on one loop. Verification is cached for a moment; a
// revocation forgets the key before it returns. Whatever fails in the store is passed on and
// refuses the caller.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/env.h"
#include "base/error.h"
#include "identity/caller.h"
#include "journal/journal.h"

namespace perdure::identity {

using async::Task;

/// The project that exists without being made.
inline constexpr std::string_view kDefaultProject = "default";

/// [a-z0-9][a-z0-9-]{0,62}
bool is_project_name(std::string_view name);

struct ProjectInfo {
  std::string name;
  UnixMillis created = 0;
};

struct KeyInfo {
  std::string id;  ///< "key_" and 16 characters
  std::string project;
  std::string name;   ///< a person's note, may be empty
  std::string last4;  ///< the end of the secret, to tell keys apart
  UnixMillis created = 0;
  std::optional<UnixMillis> revoked;
};

struct CreatedKey {
  KeyInfo info;
  std::string key;  ///< the only time it is seen
  bool project_created = false;
};

template <class T>
struct ListOf {
  std::vector<T> data;
  bool has_more = false;
};

class ApiKeys {
 public:
  ApiKeys(Env& env, journal::JournalStore& store) : env_(env), store_(store) {}

  /// Makes sure that the project "default" exists. Call once before use.
  Task<Result<void>> open();

  /// Makes the project too if it is new. kInvalidArgument for a name that is none.
  Task<Result<CreatedKey>> create(std::string project, std::string name);
  /// Oldest first; `after` is a key's id, exclusive. Revoked keys are part of the list.
  Task<Result<ListOf<KeyInfo>>> list(std::optional<std::string> project,
                                     std::optional<std::string> after, std::size_t limit);
  /// The key is refused from now on. Revoking again changes nothing; kNotFound for an unknown id.
  Task<Result<KeyInfo>> revoke(std::string id);
  /// kNotFound for an unknown id.
  Task<Result<KeyInfo>> find(std::string id);
  /// Forgets what was verified: another process may have revoked a key.
  void forget_verified();
  /// kUnauthenticated for anything but a valid key, with one sentence for every reason.
  Task<Result<Caller>> verify(std::string key);

  /// kConflict where it exists.
  Task<Result<ProjectInfo>> create_project(std::string name);
  Task<Result<bool>> project_exists(std::string name);
  Task<Result<ListOf<ProjectInfo>>> projects(std::optional<std::string> after, std::size_t limit);

 private:
  struct Cached {
    Digest hash;
    Caller caller;
    UnixMillis checked = 0;
  };

  const Caller* find_cached(const std::string& id, const Digest& hash) const;
  void remember(std::string id, Cached cached);

  Env& env_;
  journal::JournalStore& store_;
  std::unordered_map<std::string, Cached> cache_;
  /// Counts revocations, so that a verification that was under way during one is not remembered.
  std::uint64_t revocations_ = 0;
};

}  // namespace perdure::identity
