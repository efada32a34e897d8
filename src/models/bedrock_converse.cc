#include "models/bedrock_converse.h"

#include <fmt/format.h>

#include <utility>

#include "models/bedrock_stream.h"
#include "models/streamed_call.h"

namespace perdure::models {
namespace {

class BedrockConverse final : public Provider {
 public:
  BedrockConverse(EndpointSettings settings, http::Client& client, Env& env)
      : settings_(std::move(settings)),
        client_(client),
        env_(env),
        failures_(settings_.name, settings_.api_key) {}

  std::string_view name() const override { return settings_.name; }
  std::string_view kind() const override { return kBedrockConverse; }
  Capabilities capabilities() const override {
    return {.reasoning_summary = false,
            .verbosity = false,
            .images = true,
            .remote_images = false,
            .service_tier = true};
  }

  Task<std::expected<ModelOutput, ModelFailure>> generate(ModelRequest request, ModelSink* sink,
                                                          async::CancelToken cancel) override {
    auto body = bedrock_request_body(request);
    if (!body) co_return std::unexpected(failures_.invalid(body.error().message));
    http::ClientRequest call;
    call.url = join_url(settings_.base_url, bedrock_path(request.model));
    call.headers = call_headers(settings_.api_key, /*idempotency_key=*/"");
    call.headers.set("accept", "application/vnd.amazon.eventstream");
    call.body = std::move(*body);
    call.timeouts = settings_.timeouts;
    co_return co_await streamed_call(
        {&client_, &env_, sink}, failures_, std::move(call),
        std::make_unique<BedrockStream>(failures_, std::move(request.model)), std::move(cancel));
  }

 private:
  EndpointSettings settings_;
  http::Client& client_;
  Env& env_;
  FailureMapper failures_;
};

}  // namespace

Result<std::string> bedrock_base_url(std::string_view region) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789-";
  if (region.empty() || region.find_first_not_of(kAllowed) != std::string_view::npos)
    return fail(ErrorCode::kInvalidArgument, "That is not the name of an AWS region.");
  std::string_view domain = region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  return fmt::format("https://bedrock-runtime.{}.{}", region, domain);
}

std::unique_ptr<Provider> make_bedrock_converse(EndpointSettings settings, http::Client& client,
                                                Env& env) {
  return std::make_unique<BedrockConverse>(std::move(settings), client, env);
}

}  // namespace perdure::models
