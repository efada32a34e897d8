// <data_dir>/server.json: how the command line finds the running server and shows that it may
// operate it.
//
// Mode 0600; written when the server listens and removed when it ends. The token in it is new at
// each start, so a copy of the directory opens nothing. A server that was killed leaves the file
// behind: what it says is only true if somebody answers there.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"

namespace perdure::app {

struct RuntimeInfo {
  std::int64_t pid = 0;
  std::string url;    ///< "http://127.0.0.1:8787"
  std::string token;  ///< the operator's
};

Result<void> write_runtime_file(const std::string& data_dir, const RuntimeInfo& info);
/// nullopt where there is none.
Result<std::optional<RuntimeInfo>> read_runtime_file(const std::string& data_dir);
/// Removes the file if it is still this process's.
void remove_runtime_file(const std::string& data_dir);

}  // namespace perdure::app
