#include "models/openai_responses.h"

#include <utility>

#include "models/responses_request.h"
#include "models/responses_stream.h"
#include "models/streamed_call.h"

namespace perdure::models {
namespace {

class OpenAiResponses final : public Provider {
 public:
  OpenAiResponses(EndpointSettings settings, http::Client& client, Env& env)
      : settings_(std::move(settings)),
        client_(client),
        env_(env),
        failures_(settings_.name, settings_.api_key),
        is_openai_(is_openai_host(settings_.base_url)) {}

  std::string_view name() const override { return settings_.name; }
  std::string_view kind() const override { return kOpenAiResponses; }
  Capabilities capabilities() const override {
    return {.reasoning_summary = true,
            .verbosity = true,
            .images = true,
            .remote_images = true,
            .service_tier = is_openai_,
            .penalties = !is_openai_,
            .cache_minutes = is_openai_ ? 12 * 60 : 0};
  }

  Task<std::expected<ModelOutput, ModelFailure>> generate(ModelRequest request, ModelSink* sink,
                                                          async::CancelToken cancel) override {
    auto body = responses_request_body(request, is_openai_);
    if (!body) co_return std::unexpected(failures_.invalid(body.error().message));
    http::ClientRequest call;
    call.url = join_url(settings_.base_url, "responses");
    call.headers = call_headers(settings_.api_key, request.idempotency_key);
    call.body = std::move(*body);
    call.timeouts = settings_.timeouts;
    co_return co_await streamed_call({&client_, &env_, sink}, failures_, std::move(call),
                                     std::make_unique<ResponsesStream>(failures_),
                                     std::move(cancel));
  }

 private:
  EndpointSettings settings_;
  http::Client& client_;
  Env& env_;
  FailureMapper failures_;
  bool is_openai_;
};

}  // namespace

std::unique_ptr<Provider> make_openai_responses(EndpointSettings settings, http::Client& client,
                                                Env& env) {
  return std::make_unique<OpenAiResponses>(std::move(settings), client, env);
}

}  // namespace perdure::models
