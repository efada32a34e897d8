// From what the operator configured, or what is found at start, to the catalog of models.
//
// Keys are taken from the environment as it was at start; the composition root then removes them
// from the process's own, so that no child inherits one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/env.h"
#include "base/error.h"
#include "http/client.h"
#include "main/banner.h"
#include "main/config.h"
#include "models/catalog.h"
#include "models/detect.h"
#include "tools/mcp_servers.h"

namespace perdure::app {

/// The name that means the proposed model, where the configuration names no model so.
inline constexpr std::string_view kDefaultModel = "default";
/// What is proposed at OpenAI's own address, which is not asked what it has.
inline constexpr std::string_view kOpenAiModel = "gpt-5-mini";

struct ListedName {
  std::string model;
  std::string provider;
};

struct Models {
  models::Catalog catalog;
  BannerModel banner;
  std::vector<ListedName> names;  ///< for GET /v1/models
};

/// kInvalidArgument for a configuration that cannot work: a key that is not set, a kind that this
/// build has not. `detection` says on which ports models are looked for where none is configured;
/// the server's own is left out.
async::Task<Result<Models>> make_models(Config config, Environment environment,
                                        http::Client* client, Env* env,
                                        models::DetectOptions detection = {});

/// The configured MCP servers with their credentials. kInvalidArgument: a variable is not set.
Result<std::vector<tools::ConfiguredMcpServer>> make_mcp_servers(const Config& config,
                                                                 const Environment& environment);

/// The variables that hold a secret: those that `config` names, and the well-known ones.
std::vector<std::string> secret_variables(const Config& config);

}  // namespace perdure::app
