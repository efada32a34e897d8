// The master key: what seals the secrets in the store. It is kept apart from the store, because one
// backup must not hold both.
//
// Taken from PERDURE_MASTER_KEY, or else from a file that is made, with mode 0600 and a random key,
// where it is missing. Read once at start; the variable is then removed from the environment, so no
// child sees it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/env.h"
#include "base/error.h"

namespace perdure::app {

/// Characters that a key given by the operator must have at least.
inline constexpr std::size_t kMinMasterKey = 32;

struct MasterKey {
  Digest key;
  bool created = false;  ///< the file was made just now
};

/// `variable` is the value of PERDURE_MASTER_KEY. Refused: a short key, a file that others may
/// read.
Result<MasterKey> load_master_key(const std::optional<std::string>& variable,
                                  const std::string& file, Env& env);

/// The row of a shared store by which nodes tell whether they have the same key.
inline constexpr std::string_view kProofKind = "master_key";
inline constexpr std::string_view kProofId = "proof";

}  // namespace perdure::app
