#include "main/providers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "http/url.h"
#include "models/anthropic_messages.h"
#include "models/anthropic_request.h"
#include "models/bedrock_converse.h"
#include "models/detect.h"
#include "models/openai_chat.h"
#include "models/openai_responses.h"
#include "models/scripted.h"

namespace perdure::app {
namespace {

using models::Provider;

std::optional<std::string> lookup(const Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  if (found == environment.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

Result<std::unique_ptr<Provider>> make_scripted(const ProviderConfig& config) {
  if (config.script.empty()) return models::make_scripted(config.name);
  auto script = models::load_script(config.script);
  if (!script) {
    Error error = std::move(script).error();
    error.message =
        fmt::format("The script of provider '{}', {}: {}{}{}", config.name, config.script,
                    error.param, error.param.empty() ? "" : ": ", error.message);
    return std::unexpected(std::move(error));
  }
  return models::make_scripted(config.name, std::move(*script));
}

Result<std::unique_ptr<Provider>> make_provider(const ProviderConfig& config,
                                                const Environment& environment,
                                                http::Client& client, Env& env) {
  if (config.kind == models::kScripted) return make_scripted(config);
  std::string key;
  if (!config.api_key_env.empty()) {
    const auto value = lookup(environment, config.api_key_env);
    if (!value)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("The provider '{}' takes its key from the variable {}, which is not "
                              "set.",
                              config.name, config.api_key_env));
    key = *value;
  }
  models::EndpointSettings endpoint{.name = config.name,
                                    .base_url = config.base_url,
                                    .api_key = std::move(key),
                                    .reasoning_member = config.reasoning_member};
  endpoint.timeouts = config.calls.timeouts;
  if (endpoint.base_url.empty())
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("The provider '{}' has no base_url.", config.name));
  if (config.kind == "openai-responses")
    return models::make_openai_responses(std::move(endpoint), client, env);
  if (config.kind == "openai-chat")
    return models::make_openai_chat(std::move(endpoint), client, env);
  if (config.kind == models::kAnthropicMessages)
    return models::make_anthropic_messages(std::move(endpoint), client, env);
  if (config.kind == models::kBedrockConverse)
    return models::make_bedrock_converse(std::move(endpoint), client, env);
  return fail(ErrorCode::kUnimplemented,
              fmt::format("The provider '{}' is of kind '{}', which this build does not have yet.",
                          config.name, config.kind));
}

/// What was found, in the words of a configuration.
struct Found {
  std::vector<ProviderConfig> providers;
  std::vector<ModelConfig> models;
  std::vector<std::string> notes;
};

Found as_config(const models::Detected& detected) {
  Found result;
  std::set<std::string> known;
  for (const models::FoundProvider& found : detected.found) {
    result.providers.push_back({.name = found.name,
                                .kind = found.kind,
                                .base_url = found.base_url,
                                .api_key_env = found.api_key_env});
    for (const std::string& model : found.models)
      if (known.insert(model).second)
        result.models.push_back({.name = model, .provider = found.name, .upstream = model});
    if (!found.note.empty()) result.notes.push_back(found.note);
  }
  result.notes.insert(result.notes.end(), detected.notes.begin(), detected.notes.end());
  if (result.providers.empty()) {
    result.providers.push_back({.name = "scripted", .kind = std::string(models::kScripted)});
    result.models.push_back({.name = "scripted", .provider = "scripted", .upstream = "scripted"});
  }
  return result;
}

/// By its name: a model that makes vectors or ranks texts, and answers nobody.
bool writes_no_answers(std::string_view model) {
  constexpr std::array<std::string_view, 4> kMarks = {"embed", "rerank", "minilm", "bge-"};
  return std::ranges::any_of(
      kMarks, [&](std::string_view mark) { return model.find(mark) != std::string_view::npos; });
}

bool is_openai(std::string_view base_url) {
  const auto url = http::parse_url(base_url);
  return url && url->host == "api.openai.com";
}

/// Who answers a call of the model, as far as the configuration's words say it.
bool asks_provider(const ModelConfig& model, const Config& config, const std::string& provider) {
  if (model.pools.empty()) return model.provider == provider;
  return std::ranges::any_of(model.pools, [&](const std::string& name) {
    const auto pool = std::ranges::find(config.pools, name, &models::PoolEntry::name);
    return pool == config.pools.end() ? name == provider : pool->provider == provider;
  });
}

/// The first that answers people, else the first; empty where there is none.
std::string best_of(const std::vector<const ModelConfig*>& models) {
  for (const ModelConfig* model : models)
    if (!writes_no_answers(model->name)) return model->name;
  return models.empty() ? std::string() : models.front()->name;
}

/// The model to propose: the operator's choice, one of the default provider, or any. Empty where
/// none is known: a provider that may want money is not asked what it has.
std::string proposed_model(const Config& config, const Found& found) {
  if (config.default_model) return *config.default_model;
  const ProviderConfig& first = found.providers.front();
  std::vector<const ModelConfig*> all, of_first;
  all.reserve(found.models.size());
  of_first.reserve(found.models.size());
  for (const ModelConfig& model : found.models) {
    all.push_back(&model);
    if (asks_provider(model, config, first.name)) of_first.push_back(&model);
  }
  if (!of_first.empty()) return best_of(of_first);
  if (first.kind == models::kScripted) return std::string(models::kScripted);
  if (is_openai(first.base_url) && (config.providers.empty() || all.empty()))
    return std::string(kOpenAiModel);
  return best_of(all);
}

/// `default`, for a client that leaves the choice to the operator: all that is said of the
/// proposed model holds for it.
ModelConfig default_model(const std::string& proposed, const Found& found) {
  const auto known = std::ranges::find(found.models, proposed, &ModelConfig::name);
  ModelConfig model{.provider = found.providers.front().name, .upstream = proposed};
  if (known != found.models.end()) model = *known;
  model.name = kDefaultModel;
  return model;
}

BannerModel banner_model(const Found& found, const models::Catalog& catalog, std::string proposed) {
  const ProviderConfig& first = found.providers.front();
  const ProviderConfig* answers = &first;
  if (const auto resolved = catalog.resolve(proposed); resolved && !proposed.empty())
    answers = &*std::ranges::find(found.providers, resolved->provider->name(),
                                  [](const ProviderConfig& p) { return std::string_view(p.name); });
  BannerModel model{.provider = answers->name,
                    .kind = answers->kind,
                    .base_url = answers->base_url,
                    .model = std::move(proposed),
                    .has_key = !answers->api_key_env.empty() || !first.api_key_env.empty(),
                    .notes = found.notes};
  if (answers != &first) model.other_names = first.name;
  return model;
}

}  // namespace

async::Task<Result<Models>> make_models(Config config, Environment environment,
                                        http::Client* client, Env* env,
                                        models::DetectOptions detection) {
  Found found{config.providers, config.models, {}};
  if (config.providers.empty()) {
    detection.own_port = config.listen.port;
    const auto detected = co_await models::detect_providers(
        [&environment](std::string_view name) { return lookup(environment, name); }, client,
        detection);
    found = as_config(detected);
  }
  std::string proposed = proposed_model(config, found);
  const bool has_default =
      std::ranges::find(found.models, kDefaultModel, &ModelConfig::name) != found.models.end();
  const bool add_default = !has_default && !proposed.empty();
  if (add_default) found.models.push_back(default_model(proposed, found));
  std::vector<std::unique_ptr<Provider>> providers;
  std::vector<models::PoolEntry> pools = std::move(config.pools);
  std::map<std::string, models::CallRules, std::less<>> rules;
  for (const ProviderConfig& provider : found.providers) {
    CO_TRY(made, make_provider(provider, environment, *client, *env));
    providers.push_back(std::move(made));
    pools.push_back(own_pool(provider.name, provider.calls));
    rules[provider.name] = provider.calls.rules;
  }
  Models result;
  std::vector<models::ModelEntry> entries;
  for (ModelConfig& model : found.models) {
    result.names.push_back({model.name, model.provider});
    for (const models::PoolEntry& pool : pools)
      if (!model.pools.empty() && pool.name == model.pools.front())
        result.names.back().provider = pool.provider;
    entries.push_back({.name = std::move(model.name),
                       .provider = std::move(model.provider),
                       .upstream = std::move(model.upstream),
                       .context_window = model.context_window,
                       .price = model.price,
                       .max_output_tokens = model.max_output_tokens,
                       .name_tools = model.name_tools,
                       .pools = std::move(model.pools)});
  }
  CO_TRY(catalog, models::Catalog::make(std::move(providers), std::move(entries), std::move(pools),
                                        std::move(rules)));
  result.catalog = std::move(catalog);
  result.banner = banner_model(found, result.catalog, std::move(proposed));
  result.banner.is_default = add_default;
  result.banner.has_default = has_default;
  co_return result;
}

Result<std::vector<tools::ConfiguredMcpServer>> make_mcp_servers(const Config& config,
                                                                 const Environment& environment) {
  std::vector<tools::ConfiguredMcpServer> servers;
  for (const McpServerConfig& server : config.mcp_servers) {
    std::string authorization;
    if (!server.authorization_env.empty()) {
      const auto value = lookup(environment, server.authorization_env);
      if (!value)
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("The MCP server '{}' takes its credential from the variable {}, "
                                "which is not set.",
                                server.label, server.authorization_env));
      // A bare token is the usual case; whoever needs another scheme writes it in front.
      authorization = value->find(' ') == std::string::npos ? "Bearer " + *value : *value;
    }
    servers.push_back({server.label, server.url, std::move(authorization)});
  }
  return servers;
}

std::vector<std::string> secret_variables(const Config& config) {
  std::vector<std::string> names = {"PERDURE_MASTER_KEY", "PERDURE_STORE", "OPENAI_API_KEY",
                                    "AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_API_KEY"};
  for (const ProviderConfig& provider : config.providers)
    if (!provider.api_key_env.empty()) names.push_back(provider.api_key_env);
  for (const McpServerConfig& server : config.mcp_servers)
    if (!server.authorization_env.empty()) names.push_back(server.authorization_env);
  return names;
}

}  // namespace perdure::app
