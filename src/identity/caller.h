// Who makes a request, as the guard found out. A value; every facade asks its operations for the
// caller's project and nobody else's.
#pragma once

#include <string>

#include "base/ids.h"

namespace perdure::identity {

struct Caller {
  ProjectId project;
  std::string principal;         ///< "key_…", "dev", "operator": names, never secrets
  bool operator_access = false;  ///< may manage keys and projects: the local operator's token
};

}  // namespace perdure::identity
