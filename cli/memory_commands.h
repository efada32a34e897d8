// The commands for memory: stores, what is in them, finding and erasing it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace CLI {
class App;
}

namespace perdure::cli {

struct MemoryFlags {
  std::string store;
  std::string text;  ///< what to remember, or to look for
  std::string id;
  std::optional<std::string> project;
  std::optional<std::string> description;
  std::optional<std::string> language;
  std::optional<std::string> workstream;
  std::optional<std::string> actor;
  std::optional<std::string> namespace_;
  std::optional<std::string> kind;
  std::optional<std::string> subject;
  std::optional<std::string> session;
  std::vector<std::string> supersedes;
  std::vector<std::string> records;
  int limit = 10;
  bool explain = false;
};

using RunMemory = int (*)(const CommonFlags&, const app::Environment&, const MemoryFlags&);

/// Adds the commands to the root; `finish` gives each what all commands have, and how to run it.
void define_memory(CLI::App& root, MemoryFlags* flags,
                   const std::function<void(CLI::App&, RunMemory)>& finish);

}  // namespace perdure::cli
