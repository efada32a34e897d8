#include "models/anthropic_messages.h"

#include <utility>

#include "models/anthropic_names.h"
#include "models/anthropic_request.h"
#include "models/anthropic_stream.h"
#include "models/streamed_call.h"

namespace perdure::models {
namespace {

class AnthropicMessages final : public Provider {
 public:
  AnthropicMessages(EndpointSettings settings, http::Client& client, Env& env)
      : settings_(std::move(settings)),
        client_(client),
        env_(env),
        failures_(settings_.name, settings_.api_key) {}

  std::string_view name() const override { return settings_.name; }
  std::string_view kind() const override { return kAnthropicMessages; }
  Capabilities capabilities() const override {
    return {.reasoning_summary = true,
            .verbosity = false,
            .images = true,
            .remote_images = true,
            .service_tier = false,
            .cache_minutes = 60};
  }

  Task<std::expected<ModelOutput, ModelFailure>> generate(ModelRequest request, ModelSink* sink,
                                                          async::CancelToken cancel) override {
    auto body = anthropic_request_body(request);
    if (!body) co_return std::unexpected(failures_.invalid(body.error().message));
    http::ClientRequest call;
    call.url = anthropic_messages_url(settings_.base_url);
    // The API knows no idempotency keys and ignores them; gateways before it may know them.
    call.headers = call_headers("", request.idempotency_key);
    call.headers.add("anthropic-version", "2023-06-01");
    if (!settings_.api_key.empty()) call.headers.add("x-api-key", settings_.api_key);
    call.body = std::move(*body);
    call.timeouts = settings_.timeouts;
    co_return co_await streamed_call(
        {&client_, &env_, sink}, failures_, std::move(call),
        std::make_unique<AnthropicStream>(failures_, AnthropicToolNames(request.tools)),
        std::move(cancel));
  }

 private:
  EndpointSettings settings_;
  http::Client& client_;
  Env& env_;
  FailureMapper failures_;
};

}  // namespace

std::string anthropic_messages_url(std::string_view base_url) {
  while (base_url.ends_with('/')) base_url.remove_suffix(1);
  return join_url(base_url, base_url.ends_with("/v1") ? "messages" : "v1/messages");
}

std::unique_ptr<Provider> make_anthropic_messages(EndpointSettings settings, http::Client& client,
                                                  Env& env) {
  return std::make_unique<AnthropicMessages>(std::move(settings), client, env);
}

}  // namespace perdure::models
