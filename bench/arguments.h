// Options of a command: `--name value`, or `--name` alone for a switch. Unknown names are the
// reader's business; a missing or unreadable value throws std::invalid_argument.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace perdure::bench {

class Arguments {
 public:
  Arguments(int count, char** words);

  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name) const;
  std::int64_t number(const std::string& name) const;
  std::int64_t number(const std::string& name, std::int64_t fallback) const;

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace perdure::bench
