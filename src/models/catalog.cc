#include "models/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace perdure::models {
namespace {

Provider* find_provider(const std::vector<std::unique_ptr<Provider>>& providers,
                        std::string_view name) {
  auto found = std::ranges::find(providers, name, [](const auto& p) { return p->name(); });
  return found == providers.end() ? nullptr : found->get();
}

}  // namespace

Result<Catalog> Catalog::make(std::vector<std::unique_ptr<Provider>> providers,
                              std::vector<ModelEntry> models) {
  for (std::size_t i = 0; i < providers.size(); ++i) {
    if (find_provider(providers, providers[i]->name()) != providers[i].get())
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("Two providers are named '{}'.", providers[i]->name()), "provider");
  }
  Catalog catalog;
  for (ModelEntry& model : models) {
    if (model.name.empty())
      return fail(ErrorCode::kInvalidArgument, "A model has no name.", "model");
    if (!find_provider(providers, model.provider))
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The model '{}' names the provider '{}', which is not configured.",
                              model.name, model.provider),
                  "model");
    if (model.upstream.empty()) model.upstream = model.name;
    std::string name = model.name;
    if (!catalog.models_.emplace(name, std::move(model)).second)
      return fail(ErrorCode::kInvalidArgument, fmt::format("Two models are named '{}'.", name),
                  "model");
  }
  catalog.providers_ = std::move(providers);
  return catalog;
}

Result<Resolved> Catalog::resolve(std::string_view model) const {
  if (providers_.empty())
    return fail(ErrorCode::kNotFound, "No model provider is configured.", "model");
  if (auto entry = models_.find(model); entry != models_.end()) {
    const ModelEntry& found = entry->second;
    return Resolved{find_provider(providers_, found.provider), found.upstream, found.context_window,
                    found.price, found.name_tools};
  }
  return Resolved{providers_.front().get(), std::string(model), 0};
}

}  // namespace perdure::models
