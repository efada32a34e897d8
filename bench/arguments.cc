#include "bench/arguments.h"

#include <stdexcept>
#include <string_view>

namespace perdure::bench {

Arguments::Arguments(int count, char** words) {
  for (int i = 0; i < count; ++i) {
    std::string_view name = words[i];
    if (!name.starts_with("--")) throw std::invalid_argument("not an option: " + std::string(name));
    std::string& value = values_[std::string(name.substr(2))];
    if (i + 1 < count && !std::string_view(words[i + 1]).starts_with("--")) value = words[++i];
  }
}

std::string Arguments::text(const std::string& name) const {
  auto found = values_.find(name);
  if (found == values_.end()) throw std::invalid_argument("--" + name + " is missing");
  return found->second;
}

std::int64_t Arguments::number(const std::string& name) const {
  std::size_t read = 0;
  std::string value = text(name);
  std::int64_t result = value.empty() ? 0 : std::stoll(value, &read);
  if (value.empty() || read != value.size())
    throw std::invalid_argument("--" + name + " needs a whole number");
  return result;
}

std::int64_t Arguments::number(const std::string& name, std::int64_t fallback) const {
  return has(name) ? number(name) : fallback;
}

}  // namespace perdure::bench
