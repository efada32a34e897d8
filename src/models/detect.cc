#include "models/detect.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "async/within.h"
#include "base/json.h"
#include "http/url.h"
#include "models/bedrock_converse.h"
#include "models/limits.h"
#include "models/openai_chat.h"
#include "models/responses_request.h"

namespace perdure::models {
namespace {

constexpr std::string_view kOpenAiBaseUrl = "https://api.openai.com/v1";

bool is_loopback(std::string_view host) {
  return host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") ||
         host == "::1" || host == "0.0.0.0" || host == "::";
}

bool is_own_address(const http::Url& url, const DetectOptions& options) {
  return options.own_port != 0 && url.port == options.own_port && is_loopback(url.host);
}

/// From the environment alone; no packet is sent.
void look_for_openai(const EnvironmentLookup& environment, const DetectOptions& options,
                     Detected& detected) {
  std::string key = environment("OPENAI_API_KEY").value_or("");
  std::string base_url = environment("OPENAI_BASE_URL").value_or("");
  if (key.empty() && base_url.empty()) return;
  if (base_url.empty()) base_url = kOpenAiBaseUrl;
  auto url = http::parse_url(base_url);
  if (!url) {
    detected.notes.push_back("OPENAI_BASE_URL is not used: " + url.error().message);
    return;
  }
  if (is_own_address(*url, options)) {
    detected.notes.push_back(
        "OPENAI_BASE_URL is not used: it is this server's own address, which is for its clients.");
    return;
  }
  FoundProvider found;
  found.name = "openai";
  found.base_url = base_url;
  if (!key.empty()) found.api_key_env = "OPENAI_API_KEY";
  if (is_openai_host(base_url)) {
    if (key.empty()) {
      detected.notes.push_back("OPENAI_BASE_URL is not used: OPENAI_API_KEY is not set.");
      return;
    }
    found.kind = kOpenAiResponses;
    found.note = "Calls are paid for with the key in OPENAI_API_KEY.";
  } else {
    // Chat completions is what every server that calls itself compatible speaks.
    found.kind = kOpenAiChat;
    if (!key.empty() && !is_loopback(url->host))
      found.note =
          fmt::format("The key in OPENAI_API_KEY is sent to {}; calls may cost money.", url->host);
  }
  detected.found.push_back(std::move(found));
}

/// The names are those of AWS's own SDKs; again no packet is sent.
void look_for_bedrock(const EnvironmentLookup& environment, const DetectOptions& options,
                      Detected& detected) {
  constexpr std::string_view kKey = "AWS_BEARER_TOKEN_BEDROCK";
  if (environment(kKey).value_or("").empty()) return;
  std::string base_url = environment("AWS_ENDPOINT_URL_BEDROCK_RUNTIME").value_or("");
  if (base_url.empty()) {
    std::string region = environment("AWS_REGION").value_or("");
    if (region.empty()) region = environment("AWS_DEFAULT_REGION").value_or("");
    auto made = bedrock_base_url(region);
    if (!made) {
      detected.notes.push_back(fmt::format("{} is not used: {}", kKey,
                                           region.empty()
                                               ? "AWS_REGION does not say where."
                                               : "AWS_REGION is not the name of a region."));
      return;
    }
    base_url = std::move(*made);
  }
  auto url = http::parse_url(base_url);
  if (!url || is_own_address(*url, options)) {
    detected.notes.push_back("AWS_ENDPOINT_URL_BEDROCK_RUNTIME is not used: " +
                             (url ? "it is this server's own address." : url.error().message));
    return;
  }
  FoundProvider found;
  found.name = "bedrock";
  found.kind = kBedrockConverse;
  found.base_url = std::move(base_url);
  found.api_key_env = kKey;
  found.note = fmt::format("Calls are paid for with the key in {}.", kKey);
  detected.found.push_back(std::move(found));
}

using ModelNames = std::vector<std::string>;

/// The names in {"object": "list", "data": [{"id": …}]}; nullopt for anything else.
std::optional<ModelNames> model_names(std::string_view body) {
  auto parsed = parse_json(body);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const json::object& list = parsed->get_object();
  const json::value* data = find(list, "data");
  if (get_string(list, "object") != "list" || !data || !data->is_array()) return std::nullopt;
  ModelNames names;
  for (const json::value& model : data->get_array()) {
    if (!model.is_object()) return std::nullopt;
    std::string_view id = get_string(model.get_object(), "id");
    if (id.empty()) return std::nullopt;
    if (names.size() < kMaxProbeModels) names.emplace_back(id);
  }
  return names;
}

enum class Probed { kNothing, kLoading, kServes };

struct Probe {
  Probed probed = Probed::kNothing;
  ModelNames models;
};

/// What stands at this base URL. llama-server answers 503 while it reads its model.
async::Task<Probe> probe(http::Client* client, std::string base_url) {
  http::ClientRequest request;
  request.method = "GET";
  request.url = join_url(base_url, "models");
  request.headers.add("accept", "application/json");
  request.headers.add(std::string(kHopHeader), "1");
  auto response = co_await client->send(std::move(request));
  if (!response) co_return Probe{};
  auto body = co_await (*response)->read_all(kMaxProbeBytes);
  if (!body) co_return Probe{};
  if ((*response)->status() == 503 && body->find("Loading model") != std::string::npos)
    co_return Probe{Probed::kLoading, {}};
  auto names = (*response)->status() == 200 ? model_names(*body) : std::nullopt;
  if (!names) co_return Probe{};
  co_return Probe{Probed::kServes, std::move(*names)};
}

}  // namespace

async::Task<Detected> detect_providers(EnvironmentLookup environment, http::Client* client,
                                       DetectOptions options) {
  Detected detected;
  look_for_openai(environment, options, detected);
  look_for_bedrock(environment, options, detected);

  struct Local {
    std::string_view name;
    std::uint16_t port;
  };
  const std::array<Local, 3> locals = {{{"ollama", options.ollama_port},
                                        {"llama-server", options.llama_server_port},
                                        {"vllm", options.vllm_port}}};
  for (const Local& local : locals) {
    if (local.port == 0 || local.port == options.own_port) continue;
    std::string base_url = fmt::format("http://127.0.0.1:{}/v1", local.port);
    auto answered = co_await async::within(kProbeMs, probe(client, base_url));
    Probe seen = answered ? std::move(*answered) : Probe{};
    if (seen.probed == Probed::kNothing) continue;
    if (seen.probed == Probed::kLoading || seen.models.empty()) {
      detected.notes.push_back(fmt::format(
          "{} answers at {} and {}.", local.name, base_url,
          seen.probed == Probed::kLoading ? "is still loading its model" : "has no model yet"));
      continue;
    }
    FoundProvider found;
    found.name = local.name;
    found.kind = kOpenAiChat;
    found.base_url = std::move(base_url);
    found.models = std::move(seen.models);
    detected.found.push_back(std::move(found));
  }
  co_return detected;
}

}  // namespace perdure::models
