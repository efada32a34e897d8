#include "facades/agents_api/stream.h"

#include <string_view>

#include "base/log.h"
#include "facades/agents_api/limits.h"
#include "facades/agents_api/wire_out.h"
#include "http/sse.h"

namespace perdure::facades::agents_api {
namespace {

/// `,"obfuscation":""`
constexpr std::size_t kPaddingFrame = 17;

}  // namespace

EventStream::EventStream(std::unique_ptr<engine::Subscription> subscription, StreamOptions options)
    : subscription_(std::move(subscription)),
      obfuscation_(options.obfuscation),
      state_(options.seed) {}

http::Task<std::optional<std::string>> EventStream::next() {
  auto ready = co_await subscription_->next();
  if (!ready) {
    log::warn("an event stream ended early", {{"error", ready.error().message}});
    co_return std::nullopt;
  }
  if (!*ready) co_return std::nullopt;
  std::string out;
  std::string payload;
  for (const auto& event : **ready)
    if (!engine::is_of_response(event->type)) append(out, payload, *event);
  co_return out;
}

void EventStream::wake() {
  subscription_->wake();
}

void EventStream::append(std::string& out, std::string& payload,
                         const engine::SessionEvent& event) {
  payload.clear();
  append_event(payload, event);
  if (obfuscation_) {
    std::size_t length = 1 + random() % kMaxShortPadding;
    if (event.type == engine::EventType::kTextDelta) {
      std::size_t unpadded = payload.size() + kPaddingFrame;
      length = kPaddingBucket - unpadded % kPaddingBucket;
    }
    payload.pop_back();  // the object's end
    payload += ",\"obfuscation\":\"" + padding(length) + "\"}";
  }
  http::append_sse_event(out, event.durable ? event.id() : std::string(), {}, payload);
}

std::string EventStream::padding(std::size_t length) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string out(length, ' ');
  for (char& c : out) c = kAlphabet[random() % kAlphabet.size()];
  return out;
}

/// SplitMix64: cheap, and what it makes tells nothing.
std::uint64_t EventStream::random() {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

http::Response stream_response(int status, std::unique_ptr<engine::Subscription> subscription,
                               StreamOptions options) {
  http::Response response =
      http::sse_response(std::make_unique<EventStream>(std::move(subscription), options));
  response.status = status;
  return response;
}

}  // namespace perdure::facades::agents_api
