#include "models/openai_chat.h"

#include <utility>

#include "models/chat_request.h"
#include "models/chat_stream.h"
#include "models/streamed_call.h"

namespace perdure::models {
namespace {

class OpenAiChat final : public Provider {
 public:
  OpenAiChat(EndpointSettings settings, http::Client& client, Env& env)
      : settings_(std::move(settings)),
        client_(client),
        env_(env),
        failures_(settings_.name, settings_.api_key),
        dialect_(is_openai_host(settings_.base_url) ? ChatDialect::kOpenAi
                                                    : ChatDialect::kCompatible) {}

  std::string_view name() const override { return settings_.name; }
  std::string_view kind() const override { return kOpenAiChat; }
  Capabilities capabilities() const override {
    bool openai = dialect_ == ChatDialect::kOpenAi;
    return {.reasoning_summary = false,
            .verbosity = openai,
            .images = true,
            .remote_images = true,
            .service_tier = openai,
            .penalties = true,
            .cache_minutes = openai ? 30 : 0};
  }

  Task<std::expected<ModelOutput, ModelFailure>> generate(ModelRequest request, ModelSink* sink,
                                                          async::CancelToken cancel) override {
    auto body = chat_request_body(request, dialect_, settings_.reasoning_member);
    if (!body) co_return std::unexpected(failures_.invalid(body.error().message));
    http::ClientRequest call;
    call.url = join_url(settings_.base_url, "chat/completions");
    call.headers = call_headers(settings_.api_key, request.idempotency_key);
    call.body = std::move(*body);
    call.timeouts = settings_.timeouts;
    co_return co_await streamed_call({&client_, &env_, sink}, failures_, std::move(call),
                                     std::make_unique<ChatStream>(failures_), std::move(cancel));
  }

 private:
  EndpointSettings settings_;
  http::Client& client_;
  Env& env_;
  FailureMapper failures_;
  ChatDialect dialect_;
};

}  // namespace

std::unique_ptr<Provider> make_openai_chat(EndpointSettings settings, http::Client& client,
                                           Env& env) {
  return std::make_unique<OpenAiChat>(std::move(settings), client, env);
}

}  // namespace perdure::models
