#include "facades/responses/stream.h"

#include "base/log.h"
#include "http/sse.h"

namespace perdure::facades::responses {
namespace {

class ResponseStream final : public http::ByteStream {
 public:
  ResponseStream(std::unique_ptr<engine::Subscription> subscription,
                 std::optional<std::int64_t> starting_after)
      : subscription_(std::move(subscription)), starting_after_(starting_after.value_or(-1)) {}

  async::Task<std::optional<std::string>> next() override {
    if (events_.over()) co_return std::nullopt;
    auto ready = co_await subscription_->next();
    if (!ready) log::warn("a response's stream ended early", {{"error", ready.error().message}});
    if (!ready || !*ready) co_return std::nullopt;
    std::string out;
    for (const auto& event : **ready) {
      if (auto fed = events_.feed(*event); !fed) {
        log::error("a response cannot be shown", {{"error", fed.error().message}});
        co_return std::nullopt;
      }
    }
    for (const NumberedEvent& event : events_.take())
      if (event.number > starting_after_)
        http::append_sse_event(out, {}, event.type, event.payload);
    if (events_.over()) http::append_sse_event(out, {}, {}, "[DONE]");
    co_return out;
  }
  void wake() override { subscription_->wake(); }

 private:
  std::unique_ptr<engine::Subscription> subscription_;
  std::int64_t starting_after_;
  ResponseEvents events_;
};

}  // namespace

http::Response stream_response(std::unique_ptr<engine::Subscription> subscription,
                               std::optional<std::int64_t> starting_after) {
  return http::sse_response(
      std::make_unique<ResponseStream>(std::move(subscription), starting_after));
}

async::Task<Result<ResponseEvents>> wait_for_end(
    std::unique_ptr<engine::Subscription> subscription) {
  ResponseEvents events;
  while (!events.over()) {
    CO_TRY(ready, co_await subscription->next());
    if (!ready) break;
    for (const auto& event : *ready) CO_TRY_VOID(events.feed(*event));
    (void)events.take();
  }
  co_return events;
}

}  // namespace perdure::facades::responses
