// Which provider answers for a model name.
//
// Built once from the configuration ([[provider]], [[model]]) or from what was detected at start;
// immutable afterwards. A name that matches no [[model]] goes to the default provider as it is.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "models/price.h"
#include "models/provider.h"

namespace perdure::models {

struct ModelEntry {
  std::string name;                 ///< what clients ask for
  std::string provider;             ///< name of a provider
  std::string upstream;             ///< what the provider is asked for
  std::int64_t context_window = 0;  ///< tokens, 0: unknown
  std::optional<Price> price;       ///< none: what it costs is not known
  /// For models too small to decide on tools themselves: a message that names a tool makes the
  /// model call it, and without such a message it calls none.
  bool name_tools = false;
};

struct Resolved {
  Provider* provider = nullptr;
  std::string upstream;
  std::int64_t context_window = 0;
  std::optional<Price> price;
  bool name_tools = false;
};

class Catalog {
 public:
  /// The first provider is the default. kInvalidArgument where a model names an unknown provider.
  static Result<Catalog> make(std::vector<std::unique_ptr<Provider>> providers,
                              std::vector<ModelEntry> models);

  /// kNotFound when there is no provider at all.
  Result<Resolved> resolve(std::string_view model) const;
  const std::vector<std::unique_ptr<Provider>>& providers() const { return providers_; }
  const std::map<std::string, ModelEntry, std::less<>>& models() const { return models_; }

 private:
  std::vector<std::unique_ptr<Provider>> providers_;
  std::map<std::string, ModelEntry, std::less<>> models_;
};

}  // namespace perdure::models
