// The tools that this server offers, by name.
//
// Filled by the composition root before the engine starts, immutable afterwards; owns its tools.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/tool.h"

namespace perdure::tools {

class Registry {
 public:
  /// A name that is malformed or taken is a programming error (throws std::logic_error).
  void add(std::unique_ptr<Tool> tool);
  /// nullptr if there is none.
  Tool* find(std::string_view name) const;
  /// In order of their names, so that prompts made from it are stable.
  std::vector<Tool*> all() const;

 private:
  std::map<std::string, std::unique_ptr<Tool>, std::less<>> tools_;
};

}  // namespace perdure::tools
